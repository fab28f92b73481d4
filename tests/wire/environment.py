"""The environment of a machine on which every vendor's variables are set: nothing of it may reach another vendor."""

ENVIRONMENT = {
    **dict.fromkeys(
        (
            *("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_WEBHOOK_SECRET"),
            *("GOOGLE_API_KEY", "GEMINI_API_KEY", "GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_LOCATION"),
            *("XAI_API_KEY", "OPENROUTER_API_KEY", "OLLAMA_API_KEY", "GAB_API_KEY", "ANTHROPIC_API_KEY"),
        ),
        "leaked-value-0123456789",
    ),
    "OPENAI_CUSTOM_HEADERS": "X-Leaked: leaked\nAuthorization: Bearer leaked\nUser-Agent: leaked",
    **dict.fromkeys(
        (*("OPENAI_BASE_URL", "GOOGLE_GEMINI_BASE_URL", "GOOGLE_VERTEX_BASE_URL", "OLLAMA_HOST"),),
        "http://127.0.0.1:9/leaked",
    ),
    "GOOGLE_GENAI_API_VERSION": "leaked",
    # With this, the SDK would like to use a client of its own.
    "GOOGLE_GENAI_HTTP_CLIENT": "httpx",
    "GOOGLE_GENAI_USE_VERTEXAI": "true",
    "GOOGLE_GENAI_USE_ENTERPRISE": "true",
}
