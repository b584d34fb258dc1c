"""The 237 auth settings of a project: type, first value and limits of each.

Source: Supabase Management API description (2026-05), GET and PATCH /v1/projects/{ref}/config/auth.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

INT_MAX: Final = 2147483647
SMALL_INT_MAX: Final = 32767


@dataclass(frozen=True)
class Setting:
    """One key: `kind` is a JSON type, `first` the value of a new project, None what PATCH may also send."""

    kind: str
    first: Any = None
    minimum: float | None = None
    maximum: float | None = None
    pattern: str | None = None
    choices: tuple[str, ...] | None = None
    nullable: bool = True
    null_resets: bool = False  # PATCH takes null, GET never answers it
    read_only: bool = False

    def refusal(self, value: Any) -> str | None:
        """Why the vendor does not take this value, or None."""
        if value is None:
            return None if self.nullable or self.null_resets else "Expected a value, received null"
        if not _is_kind(self.kind, value):
            return f"Expected {self.kind}"
        broken = (
            (self.choices is not None and value not in self.choices, f"Expected one of {self.choices}"),
            (self.pattern is not None and not re.search(self.pattern, str(value)), f"Must match {self.pattern}"),
            (self.minimum is not None and value < self.minimum, f"Must be at least {self.minimum}"),
            (self.maximum is not None and value > self.maximum, f"Must be at most {self.maximum}"),
        )
        return next((why for is_broken, why in broken if is_broken), None)


def _is_kind(kind: str, value: Any) -> bool:
    if kind == "boolean":
        return isinstance(value, bool)
    if kind == "string":
        return isinstance(value, str)
    numbers = (int,) if kind == "integer" else (int, float)
    return isinstance(value, numbers) and not isinstance(value, bool)


_OFF = Setting("boolean", first=False)
_ON = Setting("boolean", first=True)
_TEXT = Setting("string")
_EMPTY = Setting("string", first="")
_URL = r"^[^,]+$"

_PROVIDERS: Final = [
    "apple",
    "azure",
    "bitbucket",
    "discord",
    "facebook",
    "figma",
    "github",
    "gitlab",
    "google",
    "kakao",
    "keycloak",
    "linkedin_oidc",
    "slack_oidc",
    "notion",
    "slack",
    "spotify",
    "twitch",
    "twitter",
    "x",
    "zoom",
]
_HOOKS: Final = [
    "custom_access_token",
    "mfa_verification_attempt",
    "password_verification_attempt",
    "send_sms",
    "send_email",
    "before_user_created",
    "after_user_created",
]
_NOTIFICATIONS: Final = [
    "password_changed",
    "email_changed",
    "phone_changed",
    "mfa_factor_enrolled",
    "mfa_factor_unenrolled",
    "identity_linked",
    "identity_unlinked",
]
_MAILS: Final = [
    *["confirmation", "email_change", "invite", "magic_link", "reauthentication", "recovery"],
    *(f"{notification}_notification" for notification in _NOTIFICATIONS),
]
_LETTERS, _CAPITALS = "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_SYMBOLS: Final = "!@#$%^&*()_+-=[]{};'\\\\:\"|<>?,./`~"
_REQUIRED_CHARACTERS: Final = (
    f"{_LETTERS}{_CAPITALS}:0123456789",
    f"{_LETTERS}:{_CAPITALS}:0123456789",
    f"{_LETTERS}:{_CAPITALS}:0123456789:{_SYMBOLS}",
    "",
)


def _integer(first: int, minimum: int = 0, maximum: int = INT_MAX, *, nullable: bool = True) -> Setting:
    return Setting("integer", first, minimum=minimum, maximum=maximum, nullable=nullable)


def _provider_settings() -> Iterator[tuple[str, Setting]]:
    for provider in _PROVIDERS:
        yield f"external_{provider}_enabled", _OFF
        yield f"external_{provider}_client_id", _EMPTY
        yield f"external_{provider}_secret", _EMPTY
        yield f"external_{provider}_email_optional", _OFF
    for provider in ("azure", "gitlab", "keycloak", "workos"):
        yield f"external_{provider}_url", _EMPTY
    for provider in ("apple", "google"):
        yield f"external_{provider}_additional_client_ids", _EMPTY
    yield "external_google_skip_nonce_check", _OFF
    yield "external_workos_enabled", _OFF
    yield "external_workos_client_id", _EMPTY
    yield "external_workos_secret", _EMPTY
    yield "external_email_enabled", _ON
    for method in ("phone", "anonymous_users", "web3_solana", "web3_ethereum"):
        yield f"external_{method}_enabled", _OFF


def _message_settings() -> Iterator[tuple[str, Setting]]:
    for hook in _HOOKS:
        yield f"hook_{hook}_enabled", _OFF
        yield f"hook_{hook}_uri", _TEXT
        yield f"hook_{hook}_secrets", _TEXT
    for mail in _MAILS:
        yield f"mailer_subjects_{mail}", Setting("string", mail.replace("_", " ").capitalize())
        yield f"mailer_templates_{mail}_content", Setting("string", f"<p>{mail.replace('_', ' ')}</p>")
    for notification in _NOTIFICATIONS:
        yield f"mailer_notifications_{notification}_enabled", _OFF
    for key in [
        "messagebird_access_key",
        "messagebird_originator",
        "textlocal_api_key",
        "textlocal_sender",
        "twilio_account_sid",
        "twilio_auth_token",
        "twilio_content_sid",
        "twilio_message_service_sid",
        "twilio_verify_account_sid",
        "twilio_verify_auth_token",
        "twilio_verify_message_service_sid",
        "vonage_api_key",
        "vonage_api_secret",
        "vonage_from",
    ]:
        yield f"sms_{key}", _TEXT
    for key in ["host", "pass", "port", "sender_name", "user"]:
        yield f"smtp_{key}", _TEXT


_SINGLE: Final[dict[str, Setting]] = {
    "api_max_request_duration": Setting("integer"),
    "db_max_pool_size": Setting("integer", 10),
    "db_max_pool_size_unit": Setting("string", "connections", choices=("connections", "percent")),
    "custom_oauth_enabled": Setting("boolean", first=False, nullable=False),
    "custom_oauth_max_providers": Setting("integer", 3, nullable=False, read_only=True),
    "disable_signup": _OFF,
    "jwt_exp": _integer(3600, 0, 604800),
    "mailer_allow_unverified_email_sign_ins": _OFF,
    "mailer_autoconfirm": _OFF,
    "mailer_otp_exp": _integer(3600, nullable=False),
    "mailer_otp_length": _integer(6, 6, 10),
    "mailer_secure_email_change_enabled": _ON,
    "mfa_max_enrolled_factors": _integer(10),
    "mfa_phone_enroll_enabled": _OFF,
    "mfa_phone_max_frequency": _integer(5, 0, SMALL_INT_MAX),
    "mfa_phone_otp_length": Setting("integer", 6, minimum=0, maximum=SMALL_INT_MAX, nullable=False, null_resets=True),
    "mfa_phone_template": Setting("string", "Your code is {{ .Code }}"),
    "mfa_phone_verify_enabled": _OFF,
    "mfa_totp_enroll_enabled": _ON,
    "mfa_totp_verify_enabled": _ON,
    "mfa_web_authn_enroll_enabled": _OFF,
    "mfa_web_authn_verify_enabled": _OFF,
    "nimbus_oauth_client_id": _TEXT,
    "nimbus_oauth_client_secret": _TEXT,
    "nimbus_oauth_email_optional": Setting("boolean", first=False, read_only=True),
    "oauth_server_allow_dynamic_registration": Setting("boolean", first=False, nullable=False, null_resets=True),
    "oauth_server_authorization_path": _TEXT,
    "oauth_server_enabled": Setting("boolean", first=False, nullable=False, null_resets=True),
    "passkey_enabled": Setting("boolean", first=False, nullable=False),
    "password_hibp_enabled": _OFF,
    "password_min_length": _integer(8, 6, SMALL_INT_MAX),
    "password_required_characters": Setting("string", "", choices=_REQUIRED_CHARACTERS),
    "rate_limit_anonymous_users": _integer(30, 1),
    "rate_limit_email_sent": _integer(2, 1),
    "rate_limit_otp": _integer(30, 1),
    "rate_limit_sms_sent": _integer(30, 1),
    "rate_limit_token_refresh": _integer(150, 1),
    "rate_limit_verify": _integer(30, 1),
    "rate_limit_web3": _integer(30, 1),
    "refresh_token_rotation_enabled": _ON,
    "saml_allow_encrypted_assertions": Setting("boolean", read_only=True),
    "saml_enabled": _OFF,
    "saml_external_url": Setting("string", pattern=_URL),
    "security_captcha_enabled": _OFF,
    "security_captcha_provider": Setting("string", "hcaptcha", choices=("turnstile", "hcaptcha")),
    "security_captcha_secret": _TEXT,
    "security_manual_linking_enabled": _OFF,
    "security_refresh_token_reuse_interval": _integer(10),
    "security_sb_forwarded_for_enabled": _OFF,
    "security_update_password_require_reauthentication": _OFF,
    "sessions_inactivity_timeout": Setting("number", 0, minimum=0),
    "sessions_single_per_user": _OFF,
    "sessions_tags": Setting("string", pattern=r"^\s*([a-zA-Z0-9_-]+(\s*,+\s*)?)*\s*$"),
    "sessions_timebox": Setting("number", 0, minimum=0),
    "site_url": Setting("string", "http://localhost:3000", pattern=_URL),
    "sms_autoconfirm": _OFF,
    "sms_max_frequency": _integer(5, 0, SMALL_INT_MAX),
    "sms_otp_exp": _integer(60),
    "sms_otp_length": _integer(6, 0, SMALL_INT_MAX, nullable=False),
    "sms_provider": Setting(
        "string", "twilio", choices=("messagebird", "textlocal", "twilio", "twilio_verify", "vonage")
    ),
    "sms_template": Setting("string", "Your code is {{ .Code }}"),
    "sms_test_otp": Setting("string", pattern=r"^([0-9]{1,15}=[0-9]+,?)*$"),
    "sms_test_otp_valid_until": Setting("string", pattern=r"^\d{4}-\d\d-\d\dT"),
    "smtp_admin_email": Setting("string", pattern=r"^[^@\s]+@[^@\s]+$"),
    "smtp_max_frequency": _integer(60, 0, SMALL_INT_MAX),
    "uri_allow_list": _EMPTY,
    "webauthn_rp_display_name": _TEXT,
    "webauthn_rp_id": _TEXT,
    "webauthn_rp_origins": _TEXT,
}

SETTINGS: Final[dict[str, Setting]] = dict(
    sorted({**dict(_provider_settings()), **dict(_message_settings()), **_SINGLE}.items())
)

_SECRET_ENDINGS: Final = ("_secret", "_secrets", "_pass", "_auth_token", "_api_key", "_access_key")


def is_secret(key: str) -> bool:
    """The value of this setting never comes back in clear."""
    return key.endswith(_SECRET_ENDINGS)
