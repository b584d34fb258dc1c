"""Where every Supabase project begins: role postgres is no superuser there, and owns none of the tables of auth."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from alembic_trees import Server, Tree, asked, running_server
from dumps import differences, disagreements, dump
from stand_in import Scene, apply_pending, shaped

from pantheon_runbook.database.migrations.alembic_process import history
from pantheon_runbook.servers import ServerError, binaries, cluster, templates

IS_FULL = os.environ.get("PANTHEON_SWEEP") == "full"
PROFILES = (
    "create type public.plan as enum ('free', 'paid')",
    (
        "create table public.profiles (id uuid primary key references auth.users (id) on delete cascade,"
        " handle text unique, plan public.plan not null default 'free')"
    ),
    "alter table public.profiles enable row level security",
    "create policy own_profile on public.profiles for select to authenticated using ((select auth.uid()) = id)",
    (
        "create policy rename_own on public.profiles for update to authenticated"
        " using ((select auth.uid()) = id) with check ((select auth.uid()) = id)"
    ),
    "revoke all on public.profiles from anon",
)
SIGNED_UP = (
    (
        "create function public.signed_up() returns trigger language plpgsql security definer set search_path = ''"
        " as $$ begin insert into public.profiles (id, handle) values (new.id, split_part(new.email, '@', 1));"
        " return new; end $$"
    ),
    "create trigger on_signed_up after insert on auth.users for each row execute function public.signed_up()",
)
KEYS = (
    "create extension if not exists pgcrypto with schema extensions",
    (
        "create table public.api_keys (id bigint generated always as identity primary key,"
        " owner uuid not null default auth.uid() references public.profiles (id),"
        " public text not null default encode(extensions.gen_random_bytes(8), 'hex'), secret text not null)"
    ),
    "alter table public.api_keys enable row level security",
    "create policy own_keys on public.api_keys to authenticated using (owner = (select auth.uid()))",
    (
        "create function public.key_is(given text, kept text) returns boolean language sql immutable strict"
        " as $$ select kept = extensions.crypt(given, kept) $$"
    ),
    "create index api_keys_hash on public.api_keys (extensions.digest(secret, 'sha256'))",
)
BUCKETS = (
    "insert into storage.buckets (id, name) values ('avatars', 'avatars')",
    (
        "create view public.my_files with (security_invoker) as"
        " select name from storage.objects where owner = (select auth.uid())"
    ),
    "grant select on public.my_files to authenticated",
)
WHO = """
select current_user::text, rolsuper, pg_has_role((select tableowner from pg_tables where schemaname = 'auth'
    and tablename = 'users'), 'member') from pg_roles where rolname = current_user
"""
CONCURRENTLY = """
with op.get_context().autocommit_block():
    op.create_index("profiles_plan", "profiles", ["plan"], postgresql_concurrently=True)
"""


def tree_of_a_product(folder: Path) -> Tree:
    tree = Tree(folder)
    tree.sql("profiles", *PROFILES)
    tree.sql("signed_up", *SIGNED_UP)
    tree.sql("keys", *KEYS)
    tree.sql("buckets", *BUCKETS)
    tree.add("plan_index", CONCURRENTLY.strip())
    tree.sql("free_is_trial", "alter type public.plan rename value 'free' to 'trial'")
    return tree


@pytest.fixture(scope="module")
def server_with_contrib(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A system PostgreSQL: the embedded one is built without pgcrypto."""
    try:
        found = binaries._from_system()
    except ServerError:
        pytest.skip("no system PostgreSQL on this machine (apt-get install postgresql postgresql-contrib)")
    if not has_pgcrypto(found.folder):
        pytest.skip("no pgcrypto in the system PostgreSQL (apt-get install postgresql-contrib)")
    with pytest.MonkeyPatch.context() as patch:
        for module in (templates, cluster):
            patch.setattr(module, "postgres_binaries", lambda: found)
        with running_server(tmp_path_factory.mktemp("contrib")) as server:
            yield server


def has_pgcrypto(folder: Path) -> bool:
    said = subprocess.run([folder / "pg_config", "--sharedir"], capture_output=True, text=True, check=False)
    return said.returncode == 0 and (Path(said.stdout.strip()) / "extension" / "pgcrypto.control").exists()


@pytest.mark.rare
@pytest.mark.sweep
@pytest.mark.parametrize("middle", ["", "0005"] if IS_FULL else ["0005"])
def test_stand_in_backend_becomes_what_bare_alembic_makes(tree_server, tmp_path, middle):
    scene = Scene(tree_server, tmp_path)
    if middle:
        scene.bare(scene.url, middle)
    apply_pending(scene.backend, scene.url)

    assert [] == scene.wrong(before=(middle,) if middle else ())
    assert [] == differences(scene.bare_schema(), dump(scene.url))


def test_policies_triggers_and_pgcrypto_are_migrated_by_a_non_owner(server_with_contrib, tmp_path):
    tree = tree_of_a_product(tmp_path / "product")
    bare, ours = (shaped(server_with_contrib) for _ in range(2))
    assert [("postgres", False, False)] == asked(ours, WHO)
    done = tree.bare(bare)
    assert 0 == done.returncode, done.stderr
    apply_pending(tree.backend, ours)

    assert [] == differences(dump(bare), dump(ours))
    assert [] == disagreements(ours, history(tree.backend), "public.alembic_version")
    assert 6 == len(asked(ours, "select from pantheon_runbook.migrations where state = 'applied'"))
    works_for_its_users(server_with_contrib, ours)


def works_for_its_users(server: Server, url: str) -> None:
    """Two people sign up; each sees a profile and a key, and they are their own."""
    names = {"ann": "00000000-0000-4000-8000-00000000000a", "bob": "00000000-0000-4000-8000-00000000000b"}
    settings = {"host": str(server.cluster.data), "port": server.cluster.port, "dbname": url.rpartition("/")[2]}
    with psycopg.connect(**settings, user=cluster.BOOTSTRAP_USER, autocommit=True) as vendor:
        vendor.execute("set role supabase_auth_admin")
        for name, user in names.items():
            vendor.execute("insert into auth.users (id, email) values (%s, %s)", (user, f"{name}@example.test"))
    for name, user in names.items():
        with psycopg.connect(url) as connection:
            connection.execute("set local role authenticated")
            claims = json.dumps({"sub": user, "role": "authenticated"})
            connection.execute("select set_config('request.jwt.claims', %s, true)", (claims,))
            add = "insert into api_keys (secret) values (extensions.crypt(%s, extensions.gen_salt('bf', 4)))"
            connection.execute(add, (f"key of {name}",))
            seen = "select handle, key_is(%s, secret) from profiles join api_keys on owner = profiles.id"
            assert [(name, True)] == connection.execute(seen, (f"key of {name}",)).fetchall()
