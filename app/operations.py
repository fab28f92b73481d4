"""The operations that the browser's console opens with: from one's identities to a picture, followed live."""

from app.graphiql import Tab

VIEWER = """# Run me first: it shows who you are, your identities and your reference images.
# Copy an identity's id into the next tab. Reference images are uploaded with curl: see the README.
query Viewer {
  viewer {
    name
    community { name }
    referenceImages { id order name image { medium } }
    identities { id name readiness { isReady problems } image { picture { medium } } }
  }
}
"""

GENERATE = """# Asks for two pictures. With identityId the person's reference images are used; without it, the prompt alone.
mutation Generate($input: GenerateImageInput!) {
  generateImage(input: $input) {
    ... on GenerateImageSuccess { generation { id state estimatedSecondsLeft } }
    ... on UserError { message }
  }
}
"""

FOLLOW = """# Paste the generation's id into the variables: the events so far come at once, then each as it happens.
subscription Follow($id: ID!) {
  generationProgress(id: $id) {
    seq state stage elapsedSeconds
    preview { original }
    image { id picture { large } }
    failure { code message }
  }
}
"""

FIRST_OPERATIONS = (
    Tab(VIEWER),
    Tab(GENERATE, {"input": {"prompt": "A lighthouse on a cliff at dusk", "options": {"n": 2}}}),
    Tab(FOLLOW, {"id": "paste the generation's id here"}),
)
