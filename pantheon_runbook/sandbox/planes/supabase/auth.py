"""The Auth API of one project (<ref>.supabase.co/auth/v1): health and what anybody may see of the settings."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pantheon_runbook.sandbox.planes.supabase.auth_config import settings


async def health(_request: Request) -> Response:
    description = "GoTrue is a user registration and authentication API"
    return JSONResponse({"version": "v2.189.0", "name": "GoTrue", "description": description})


async def public_settings(request: Request) -> Response:
    """Neither site_url nor the allow list is visible here."""
    config = settings(request.state.project)
    external = {
        key.removeprefix("external_").removesuffix("_enabled"): bool(value)
        for key, value in config.items()
        if key.startswith("external_") and key.endswith("_enabled")
    }
    return JSONResponse(
        {
            "external": external,
            "disable_signup": bool(config["disable_signup"]),
            "mailer_autoconfirm": bool(config["mailer_autoconfirm"]),
            "phone_autoconfirm": bool(config["sms_autoconfirm"]),
            "sms_provider": config["sms_provider"] or "",
            "saml_enabled": bool(config["saml_enabled"]),
        }
    )
