"""The schema as a contract: committed, described everywhere, with the names front ends are written against."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    GraphQLUnionType,
    build_schema,
    is_specified_scalar_type,
)

from domain import errors
from domain.errors import DomainError
from graph.errors import TABLE
from graph.schema import printed_schema

COMMITTED = Path(__file__).parents[2] / "graph" / "schema.graphql"


@pytest.fixture(scope="module")
def sdl() -> GraphQLSchema:
    """The schema as clients see it."""
    return build_schema(COMMITTED.read_text())


def own_types(sdl: GraphQLSchema) -> Iterator[object]:
    """Every type that is ours."""
    for name, kind in sdl.type_map.items():
        if not name.startswith("__") and not is_specified_scalar_type(kind):
            yield kind


def test_the_committed_schema_is_the_one_that_is_served() -> None:
    """`make schema` writes it anew."""
    assert COMMITTED.read_text() == printed_schema()


def test_everything_is_described(sdl: GraphQLSchema) -> None:
    """Every type, field, argument and value says what it is for, in a sentence."""
    missing = [name for name, text in descriptions(sdl) if not text or not text.rstrip().endswith((".", "`"))]
    assert missing == []


def descriptions(sdl: GraphQLSchema) -> Iterator[tuple[str, str | None]]:
    """Each description by where it stands."""
    for kind in own_types(sdl):
        if isinstance(kind, GraphQLScalarType | GraphQLUnionType):
            yield kind.name, kind.description
        elif isinstance(kind, GraphQLEnumType):
            yield kind.name, kind.description
            for name, value in kind.values.items():
                yield f"{kind.name}.{name}", value.description
        elif isinstance(kind, GraphQLObjectType | GraphQLInterfaceType):
            yield kind.name, kind.description
            for name, field in kind.fields.items():
                yield f"{kind.name}.{name}", field.description
                for argument, given in field.args.items():
                    yield f"{kind.name}.{name}({argument})", given.description
        elif isinstance(kind, GraphQLInputObjectType):
            yield kind.name, kind.description
            for name, input_field in kind.fields.items():
                yield f"{kind.name}.{name}", input_field.description


MUTATIONS = {
    "signIn": ("token expiresAt user", "WrongCredentialsError"),
    "signOut": ("user", "NotFoundError"),
    "createReferenceImage": (
        "referenceImage",
        "InvalidInputError NotFoundError ConflictError LimitReachedError InvalidImageError StorageUnavailableError",
    ),
    "uploadReferenceImage": (
        "referenceImage",
        "InvalidInputError NotFoundError InvalidImageError StorageUnavailableError",
    ),
    "updateReferenceImage": ("referenceImage", "InvalidInputError NotFoundError ConflictError"),
    "deleteReferenceImage": ("deletedId", "NotFoundError"),
    "createIdentity": ("identity", "InvalidInputError NotFoundError LimitReachedError"),
    "updateIdentity": ("identity", "InvalidInputError NotFoundError"),
    "deleteIdentity": ("deletedId", "NotFoundError"),
    "uploadImage": ("image", "InvalidInputError NotFoundError InvalidImageError StorageUnavailableError"),
    "importImage": (
        "image",
        "InvalidInputError NotFoundError FetchRefusedError InvalidImageError StorageUnavailableError",
    ),
    "tagImage": ("image", "InvalidInputError NotFoundError"),
    "setImagePublic": ("image", "NotFoundError ImageInUseError"),
    "toggleImagePublic": ("image", "NotFoundError ImageInUseError"),
    "deleteImage": ("deletedId", "NotFoundError ImageInUseError"),
    "createWizard": ("wizard", "InvalidInputError LimitReachedError"),
    "updateWizard": ("wizard", "InvalidInputError NotFoundError"),
    "deleteWizard": ("deletedId", "NotFoundError"),
    "addStep": ("step", "InvalidInputError NotFoundError LimitReachedError"),
    "updateStep": ("step", "InvalidInputError NotFoundError"),
    "deleteStep": ("deletedId", "NotFoundError"),
    "setStepBackground": ("step", "InvalidInputError NotFoundError"),
    "createPlan": ("plan", "InvalidInputError ConflictError"),
    "updatePlan": ("plan", "InvalidInputError NotFoundError"),
    "deletePlan": ("deletedId", "NotFoundError ConflictError"),
    "setCommunityPlan": ("community", "NotFoundError ConflictError"),
    "setUserLimit": ("user", "InvalidInputError NotFoundError"),
    "updateCommunity": ("community", "InvalidInputError"),
    "uploadIdentityImage": ("identity", "InvalidInputError NotFoundError InvalidImageError StorageUnavailableError"),
    "deleteIdentityImage": ("identity", "NotFoundError"),
    "saveGeneratedImage": ("identity", "InvalidInputError NotFoundError"),
    "createPrompt": ("prompt", "InvalidInputError"),
    "setPromptActive": ("prompt", "NotFoundError ConflictError"),
    "createConnectionProfile": (
        "profile",
        "InvalidInputError ConflictError LimitReachedError ProviderUnusableError",
    ),
    "updateConnectionProfile": (
        "profile",
        "InvalidInputError NotFoundError ConflictError ProviderUnusableError",
    ),
    "deleteConnectionProfile": ("deletedId", "NotFoundError"),
    "testConnectionProfile": (
        "profile models",
        "InvalidInputError NotFoundError ConflictError ProviderUnusableError",
    ),
    "cancelGeneration": ("generation", "NotFoundError"),
    "retryGeneration": (
        "generation",
        """InvalidInputError NotFoundError ConflictError UnsupportedByModelError ProviderUnusableError
        QuotaExceededError StorageUnavailableError""",
    ),
    "generateImage": (
        "generation",
        """InvalidInputError NotFoundError ConflictError UnsupportedByModelError ProviderUnusableError
        QuotaExceededError StorageUnavailableError""",
    ),
}


def test_mutations_follow_one_pattern(sdl: GraphQLSchema) -> None:
    """Each takes one non-null input and answers with its success, or with errors that are UserErrors."""
    assert sdl.mutation_type
    assert set(sdl.mutation_type.fields) == set(MUTATIONS)
    for name, (fields, members) in MUTATIONS.items():
        field, title = sdl.mutation_type.fields[name], name[0].upper() + name[1:]
        assert {argument: str(given.type) for argument, given in field.args.items()} == {"input": f"{title}Input!"}
        assert str(field.type) == f"{title}Result!"
        union = sdl.get_type(f"{title}Result")
        assert isinstance(union, GraphQLUnionType)
        success, *problems = union.types
        assert success.name == f"{title}Success"
        assert list(success.fields) == fields.split()
        assert all(isinstance(value.type, GraphQLNonNull) for value in success.fields.values())
        assert [problem.name for problem in problems] == members.split()
        assert all([interface.name for interface in problem.interfaces] == ["UserError"] for problem in problems)


ROOTS = {
    "Query": """
        node(id: ID!): Node
        nodes(ids: [ID!]!): [Node]!
        viewer: User!
        accounts: [User!]!
        user(id: ID!): User
        identity(id: ID!): Identity
        images(scope: ImageScope! = MINE, userId: ID = null, filter: ImageFilter = null, first: Int = null, after: String = null, last: Int = null, before: String = null): ImageConnection!
        prompts(type: PromptType = null): [Prompt!]!
        previewPrompt(body: String!, type: PromptType!, identityId: ID = null, structuredPrompt: StructuredPromptInput = null, additionalPrompt: String = null): String!
        estimateGeneration(input: GenerateImageInput!): GenerationEstimate!
        wizards: [Wizard!]!
        wizard(id: ID!): Wizard
        step(id: ID!): Step
        plans: [Plan!]!
        providers: [Provider!]!
        connectionProfiles(imagesOnly: Boolean! = false): [ConnectionProfile!]!
        generation(id: ID!): Generation
        generations(first: Int = null, after: String = null): GenerationConnection!""",
    "Subscription": "generationProgress(id: ID!, after: Int! = 0): GenerationEvent!",
    "Community": """id: ID! name: String! timeZone: String! plan: Plan
        quota(feature: Feature!, unit: QuotaUnit! = IMAGES): Quota!""",
    "Quota": """feature: Feature! unit: QuotaUnit! limit: Int used: Int! reserved: Int! remaining: Int
        resetsAt: DateTime!""",
    "Plan": "id: ID! name: String! limits: [Limit!]! priority: Int! isShared: Boolean!",
    "Limit": "feature: Feature! unit: QuotaUnit! amount: Int!",
    "Tag": "kind: TagKind! value: String!",
    "Wizard": "id: ID! name: String! steps: [Step!]!",
    "Step": "id: ID! wizard: Wizard! title: String! order: Int! background: Image",
    "GenerationEstimate": "costMicroUsd: Int basis: String! seconds: Int problems: [String!]!",
    "PromptAcceptance": "made: Int! accepted: Int! rate: Float",
    "User": """id: ID! email: String! name: String! role: Role! isTest: Boolean! community: Community!
        referenceImages: [ReferenceImage!]! identities: [Identity!]! createdAt: DateTime!
        quota(feature: Feature!, unit: QuotaUnit! = IMAGES): Quota""",
    "Picture": """url(size: VariantSize! = ORIGINAL): URL! urlExpiresAt: DateTime original: URL! thumbnail: URL!
        medium: URL! large: URL! width: Int! height: Int! sizeBytes: Int! mediaType: String! sha256: String!
        placeholder: String!""",
    "ReferenceImage": """id: ID! user: User! name: String! order: Int! role: ReferenceRole! image: Picture
        createdAt: DateTime! updatedAt: DateTime!""",
    "Identity": """id: ID! user: User! name: String! category: String! iAmStatement: String! visualization: String!
        notes: [String!]! image: Image readiness: IdentityReadiness! createdAt: DateTime! updatedAt: DateTime!""",
    "IdentityReadiness": "isReady: Boolean! problems: [String!]!",
    "Image": """id: ID! owner: User! source: ImageSource! picture: Picture! filename: String! isPublic: Boolean!
        tags: [Tag!]! usedBy: [ImageUse!]! recipe: Recipe generation: Generation createdAt: DateTime!""",
    "Recipe": """prompt: String! structuredPrompt: StructuredPrompt promptVersion: Int revisedPrompt: String
        identityName: String referenceHashes: [String!]! provider: ProviderKind! model: String! options: JSON!
        costMicroUsd: Int costBasis: CostBasis parent: Image""",
    "ImageConnection": "edges: [ImageEdge!]! nodes: [Image!]! pageInfo: PageInfo! totalCount: Int!",
    "ImageEdge": "cursor: String! node: Image!",
    "PageInfo": "hasNextPage: Boolean! hasPreviousPage: Boolean! startCursor: String endCursor: String",
    "Prompt": """id: ID! type: PromptType! version: Int! name: String! body: String!
        requiredContextKeys: [ContextKey!]! isActive: Boolean! createdAt: DateTime! author: User
        images(first: Int = null, after: String = null, last: Int = null, before: String = null): ImageConnection!
        acceptance: PromptAcceptance!""",
    "Provider": """kind: ProviderKind! name: String! makesImages: Boolean! canGenerateImages: Boolean!
        needsKey: Boolean! needsBaseUrl: Boolean! models: [ImageModel!]!""",
    "QualityWord": "word: String! quality: String resolution: String",
    "ConnectionProfile": """id: ID! name: String! provider: ProviderKind! baseUrl: URL keyHint: String model: String
        isDefault: Boolean! needsKey: Boolean! problem: String lastUsedAt: DateTime createdAt: DateTime!""",
    "ImageModel": """id: String! name: String! isRetired: Boolean! replacedBy: String sizes: [String!]!
        aspectRatios: [String!]! resolutions: [String!]! qualities: [String!]! styles: [String!]! maxImages: Int!
        maxReferences: Int! streamsPreviews: Boolean! qualityWords: [QualityWord!]!""",
    "Generation": """id: ID! owner: User! identity: Identity step: Step tags: [Tag!]! estimatedCostMicroUsd: Int state: GenerationState! requestedImages: Int!
        provider: ProviderKind! model: String! prompt: String! images: [Image!]! failures: [GenerationFailure!]!
        eventSeq: Int! estimatedSecondsLeft: Int actualCostMicroUsd: Int attempts: [Attempt!]! createdAt: DateTime!
        finishedAt: DateTime profile: ConnectionProfile costBasis: CostBasis retryOf: Generation""",
    "GenerationConnection": "edges: [GenerationEdge!]! nodes: [Generation!]! pageInfo: PageInfo!",
    "GenerationFailure": """code: FailureCode! message: String! isRetryable: Boolean! isCharged: Boolean!
        retryAfterSeconds: Int index: Int""",
    "Attempt": """provider: ProviderKind! model: String! index: Int! number: Int! startedAt: DateTime!
        finishedAt: DateTime outcome: String! isCharged: Boolean! providerRequestId: String profile: ConnectionProfile route: Int!
        costMicroUsd: Int costBasis: CostBasis providerMessage: String""",
    "GenerationEvent": """seq: Int! at: DateTime! state: GenerationState! isTerminal: Boolean! stage: String!
        elapsedSeconds: Float! estimatedSecondsLeft: Int preview: Picture index: Int image: Image
        failure: GenerationFailure generation: Generation!""",
    "InvalidInputError": "message: String! fields: [FieldError!]!",
    "NotFoundError": "message: String! id: ID",
    "LimitReachedError": "message: String! limit: Int!",
    "QuotaExceededError": """message: String! feature: Feature! unit: QuotaUnit! limit: Int! used: Int!
        resetsAt: DateTime!""",
    "ImageInUseError": "message: String! usedBy: [ImageUse!]!",
    "UnsupportedByModelError": """message: String! provider: ProviderKind! model: String! option: String!
        supported: [String!]!""",
    "ProviderUnusableError": "message: String! provider: ProviderKind!",
    "InvalidImageError": "message: String! reason: InvalidImageReason!",
    "FetchRefusedError": "message: String!",
}


@pytest.mark.parametrize("name", ROOTS)
def test_the_names_that_front_ends_are_written_against(sdl: GraphQLSchema, name: str) -> None:
    """Every promised field is there, with its arguments and its type; more may be there too."""
    promised = build_schema(f"type T {{ {ROOTS[name]} }} {PLACEHOLDERS}", assume_valid=True).type_map["T"]
    kind = sdl.type_map[name]
    assert isinstance(kind, GraphQLObjectType)
    assert isinstance(promised, GraphQLObjectType)
    for field_name, field in promised.fields.items():
        served = kind.fields[field_name]
        assert str(served.type) == str(field.type), field_name
        assert {arg: str(given.type) for arg, given in served.args.items()} == {
            arg: str(given.type) for arg, given in field.args.items()
        }


NAMED = """Node User Identity ImageConnection Prompt Generation GenerationConnection GenerationEvent Community
    ReferenceImage URL DateTime Picture Image IdentityReadiness Recipe StructuredPrompt JSON ImageEdge PageInfo Provider
    ImageModel GenerationFailure Attempt GenerationEdge FieldError Tag Wizard Step Plan Limit Quota GenerationEstimate
    PromptAcceptance ImageUse ImageFilter StructuredPromptInput GenerateImageInput ConnectionProfile QualityWord"""
ENUMS = {
    "Role": "MEMBER ADMIN",
    "VariantSize": "ORIGINAL THUMBNAIL MEDIUM LARGE",
    "PictureFormat": "ORIGINAL WEBP AVIF JPEG PNG",
    "ReferenceRole": "FACE BODY STYLE SETTING",
    "ImageSource": "GENERATED UPLOADED IMPORTED",
    "ImageScope": "MINE PUBLIC",
    "TagKind": "CHARACTER PERSONA CHAT THEME",
    "Feature": "IMAGE_GENERATION",
    "QuotaUnit": "IMAGES MICRO_USD",
    "PromptType": "COACH SENTINEL IMAGE_GENERATION",
    "ContextKey": "IDENTITY_CONTEXT ADDITIONAL_PROMPT STRUCTURED_PROMPT USER_NAME",
    "ProviderKind": "OFFLINE OPENAI GEMINI IMAGEN XAI OPENROUTER OLLAMA OPENAI_COMPATIBLE GAB ANTHROPIC",
    "CostBasis": "REPORTED USAGE LISTED TYPICAL ASSUMED",
    "GenerationState": "QUEUED PREPARING GENERATING STORING SUCCEEDED FAILED REFUSED CANCELLED",
    "FailureCode": """REFUSED_INPUT REFUSED_OUTPUT EMPTY_RESULT INVALID_KEY PERMISSION_DENIED INSUFFICIENT_CREDIT
        RATE_LIMITED INVALID_REQUEST MODEL_GONE TIMEOUT PROVIDER_UNAVAILABLE BAD_RESPONSE REFERENCE_UNREADABLE
        STORAGE_UNAVAILABLE UNKNOWN_CHARGED INTERNAL""",
    "InvalidImageReason": "EMPTY NOT_AN_IMAGE UNSUPPORTED_FORMAT TOO_LARGE TOO_MANY_PIXELS TRUNCATED",
}
PLACEHOLDERS = " ".join(
    [f"scalar {name}" for name in NAMED.split()] + [f"enum {name} {{ {values} }}" for name, values in ENUMS.items()]
)


def test_the_enums(sdl: GraphQLSchema) -> None:
    """Each with its values; there are no others."""
    enums = {kind.name: " ".join(kind.values) for kind in own_types(sdl) if isinstance(kind, GraphQLEnumType)}
    assert enums == {name: " ".join(values.split()) for name, values in ENUMS.items()}


INPUTS = {
    "CreateReferenceImageInput": "userId name order role file",
    "UploadReferenceImageInput": "id file",
    "UpdateReferenceImageInput": "id name order role",
    "CreateIdentityInput": "name userId category iAmStatement visualization notes",
    "UpdateIdentityInput": "id name category iAmStatement visualization notes",
    "UploadIdentityImageInput": "id file",
    "CreatePromptInput": "type name body requiredContextKeys activate",
    "SetPromptActiveInput": "id isActive",
    "SaveGeneratedImageInput": "imageId identityId",
    "ImageOptionsInput": "n size aspectRatio resolution quality style background outputFormat seed",
    "StructuredPromptInput": "style subject mood color composition extra",
    "GenerateImageInput": """identityId stepId prompt structuredPrompt additionalPrompt profileId fallbackProfileIds
        provider model options tags parentImageId saveToIdentity idempotencyKey""",
    "TagInput": "kind value",
    "ImageFilter": "search tags source provider createdAfter createdBefore",
    "UploadImageInput": "file tags userId",
    "ImportImageInput": "url tags userId",
    "CreateConnectionProfileInput": "name provider apiKey baseUrl model isDefault test",
    "UpdateConnectionProfileInput": "id name apiKey baseUrl model isDefault test",
    "DeleteConnectionProfileInput": "id",
    "TestConnectionProfileInput": "id apiKey",
    "TagImageInput": "id add remove",
    "SetImagePublicInput": "id isPublic force",
    "ToggleImagePublicInput": "id force",
    "DeleteImageInput": "id force",
    "CreateWizardInput": "name",
    "UpdateWizardInput": "id name",
    "DeleteWizardInput": "id",
    "AddStepInput": "wizardId title order",
    "UpdateStepInput": "id title order",
    "DeleteStepInput": "id",
    "SetStepBackgroundInput": "stepId imageId",
    "LimitInput": "feature unit amount",
    "CreatePlanInput": "name limits priority",
    "UpdatePlanInput": "id name limits priority",
    "CancelGenerationInput": "id",
    "RetryGenerationInput": "id idempotencyKey",
    "DeletePlanInput": "id",
    "SetCommunityPlanInput": "planId",
    "SetUserLimitInput": "userId feature unit amount",
    "UpdateCommunityInput": "timeZone",
}


@pytest.mark.parametrize("name", INPUTS)
def test_the_inputs(sdl: GraphQLSchema, name: str) -> None:
    """Each with its fields."""
    kind = sdl.type_map[name]
    assert isinstance(kind, GraphQLInputObjectType)
    assert list(kind.fields) == INPUTS[name].split()


def test_main_objects_are_nodes(sdl: GraphQLSchema) -> None:
    """Whatever has an identity of its own can be asked for by its id."""
    interface = sdl.type_map["Node"]
    assert isinstance(interface, GraphQLInterfaceType)
    nodes = {kind.name for kind in sdl.get_implementations(interface).objects}
    assert nodes == {
        "Community",
        "User",
        "ReferenceImage",
        "Identity",
        "Image",
        "Prompt",
        "Generation",
        "Wizard",
        "Step",
        "Plan",
        "ConnectionProfile",
    }


def test_scalars_name_their_specification(sdl: GraphQLSchema) -> None:
    """So that tools know what is in them."""
    scalars = {kind.name: kind.specified_by_url for kind in own_types(sdl) if isinstance(kind, GraphQLScalarType)}
    assert set(scalars) == {"DateTime", "URL", "Upload", "JSON"}
    assert all(scalars.values())


def test_every_domain_error_is_told() -> None:
    """The table has every error, so that none reaches clients as an internal one."""
    known = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, DomainError)}
    assert set(TABLE) == known - {DomainError}
