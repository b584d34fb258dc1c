"""Names and values that the sandbox's own tests agree on."""

REF = "abcdefghijklmnopqrst"
PASSWORD = "p@ss/word+100%"
POOLER = "aws-0-eu-west-1.pooler.supabase.com"
PINNED = "2026-11-23T10:00:00+00:00"
