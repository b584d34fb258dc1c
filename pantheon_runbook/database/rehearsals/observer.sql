-- What each statement did, told by PostgreSQL itself: for scratch databases only, made by a superuser before the first
-- revision runs. Text would have to be guessed at (DO blocks, functions, CASCADE); the catalog cannot be mistaken.
create schema if not exists pantheon_runbook;
set search_path = '';  -- so that types are spelled alike, here and in the triggers

-- Everything whose loss, change or arrival a running backend could notice. `on_table` is 0 where it belongs to none.
create view pantheon_runbook.standing_now as
with schemas as (
    select oid, nspname from pg_namespace
    where nspname not like 'pg\_%' and nspname not in ('information_schema', 'pantheon_runbook')
), tables as (
    select c.oid, format('%I.%I', nspname, relname) as name, relrowsecurity, relkind
    from pg_class c join schemas s on s.oid = relnamespace where relkind in ('r', 'p', 'm', 'f')
)
select 'table' as kind, oid::text as id, oid as on_table, name, jsonb_build_object('security', relrowsecurity) as facts
from tables
union all
select 'column', format('%s/%s', t.oid, attnum), t.oid, attname, jsonb_build_object(
    'type', format_type(atttypid, atttypmod), 'required', attnotnull,
    'filled', atthasdef or attidentity <> '' or attgenerated <> '')
from tables t join pg_attribute on attrelid = t.oid where attnum > 0 and not attisdropped
union all
select 'constraint', k.oid::text, t.oid, conname, jsonb_build_object('type', contype, 'valid', convalidated)
from tables t join pg_constraint k on conrelid = t.oid where contype in ('c', 'f', 'u', 'p', 'x')
union all
select 'index', indexrelid::text, t.oid, relname, jsonb_build_object('unique', indisunique, 'valid', indisvalid)
from tables t join pg_index on indrelid = t.oid join pg_class i on i.oid = indexrelid
union all
select 'policy', p.oid::text, t.oid, polname, '{}' from tables t join pg_policy p on polrelid = t.oid
union all
select 'trigger', g.oid::text, t.oid, tgname, '{}' from tables t join pg_trigger g on tgrelid = t.oid
where not tgisinternal
union all
select 'function', p.oid::text, 0, format('%I.%I(%s)', nspname, proname, pg_get_function_identity_arguments(p.oid)), '{}'
from pg_proc p join schemas s on s.oid = pronamespace
union all
select case relkind when 'v' then 'view' else 'sequence' end, c.oid::text, 0, format('%I.%I', nspname, relname), '{}'
from pg_class c join schemas s on s.oid = relnamespace where relkind = 'v' or relkind = 'S'
union all
select 'type', y.oid::text, 0, format('%I.%I', nspname, typname), '{}'
from pg_type y join schemas s on s.oid = typnamespace where typtype in ('e', 'd')
union all
select 'label', e.oid::text, 0, format('%I.%I ''%s''', nspname, typname, enumlabel), '{}'
from pg_enum e join pg_type y on y.oid = enumtypid join schemas s on s.oid = typnamespace;

create table pantheon_runbook.standing_before as
select *, true as is_old from pantheon_runbook.standing_now;

create table pantheon_runbook.effects (
    number bigint generated always as identity primary key,
    query text, change text not null, kind text not null, name text not null, on_table text not null,
    before jsonb not null default '{}', after jsonb not null default '{}',
    is_old boolean not null, is_on_old boolean not null
);

create function pantheon_runbook.sequential_scans() returns jsonb language sql security definer set search_path = '' as $$
    select coalesce(jsonb_object_agg(relid::text, seq_scan), '{}') from pg_catalog.pg_stat_xact_all_tables
    where seq_scan > 0
$$;

create function pantheon_runbook.note_start() returns event_trigger language plpgsql security definer
set search_path = '' as $$
begin
    perform pg_catalog.set_config('pantheon_runbook.scans', pantheon_runbook.sequential_scans()::text, false);
end $$;

create function pantheon_runbook.note_rewrite() returns event_trigger language plpgsql security definer
set search_path = '' as $$
begin
    insert into pantheon_runbook.effects (query, change, kind, name, on_table, is_old, is_on_old)
    select pg_catalog.current_query(), 'rewritten', 'table', name, name, is_old, is_old
    from pantheon_runbook.standing_before where kind = 'table'
    and on_table = pg_catalog.pg_event_trigger_table_rewrite_oid();
end $$;

create function pantheon_runbook.note_end() returns event_trigger language plpgsql security definer
set search_path = '' as $$
declare
    earlier jsonb := coalesce(nullif(pg_catalog.current_setting('pantheon_runbook.scans', true), ''), '{}');
begin
    insert into pantheon_runbook.effects (query, change, kind, name, on_table, after, is_old, is_on_old)
    select pg_catalog.current_query(), 'scanned', 'table', name, name, '{}', is_old, is_old
    from pg_catalog.jsonb_each_text(pantheon_runbook.sequential_scans()) as scans (relid, times)
    join pantheon_runbook.standing_before on kind = 'table' and id = relid
    where times::bigint > coalesce((earlier ->> relid)::bigint, 0)
    union all
    select pg_catalog.current_query(), 'locked', 'table', name, name,
        pg_catalog.jsonb_build_object('mode', mode), is_old, is_old
    from pg_catalog.pg_locks join pantheon_runbook.standing_before on kind = 'table' and on_table = relation
    where pid = pg_catalog.pg_backend_pid() and locktype = 'relation' and mode <> 'AccessShareLock';

    perform pantheon_runbook.note_changes(pg_catalog.current_query());
end $$;

-- The same thing keeps its number in the catalog whatever it is called, so a rename is a change, not a loss.
create function pantheon_runbook.note_changes(query text) returns void language plpgsql security definer
set search_path = '' as $$
begin
    with differences as (
        select coalesce(b.kind, n.kind) as kind, coalesce(b.id, n.id) as id, b.is_old,
            coalesce(n.on_table, b.on_table) as on_table, b.name as name_before, n.name as name_after,
            b.facts || pg_catalog.jsonb_build_object('name', b.name) as before,
            n.facts || pg_catalog.jsonb_build_object('name', n.name) as after
        from pantheon_runbook.standing_before b
        full join pantheon_runbook.standing_now n on n.kind = b.kind and n.id = b.id
        where b.id is null or n.id is null or b.facts <> n.facts or b.name <> n.name
    ), noted as (
        insert into pantheon_runbook.effects (query, change, kind, name, on_table, before, after, is_old, is_on_old)
        select note_changes.query,
            case when before is null then 'added' when after is null then 'removed' else 'changed' end,
            d.kind, coalesce(name_before, name_after), coalesce(t.name, ''),
            coalesce(before, '{}'), coalesce(after, '{}'), coalesce(d.is_old, false), coalesce(t.is_old, false)
        from differences d
        left join pantheon_runbook.standing_before t on t.kind = 'table' and t.on_table = d.on_table
        -- What goes with its table, or comes with it, is not told apart from it.
        where d.kind = 'table' or d.on_table = 0 or not exists (
            select from differences whole
            where whole.kind = 'table' and whole.on_table = d.on_table and (whole.before is null or whole.after is null))
        order by d.kind, 4
    ), gone as (
        delete from pantheon_runbook.standing_before b using differences d
        where b.kind = d.kind and b.id = d.id and d.after is null
    ), come as (
        insert into pantheon_runbook.standing_before (kind, id, on_table, name, facts, is_old)
        select n.*, false from pantheon_runbook.standing_now n join differences d using (kind, id) where d.before is null
    )
    update pantheon_runbook.standing_before b set name = n.name, facts = n.facts
    from pantheon_runbook.standing_now n join differences d using (kind, id)
    where b.kind = n.kind and b.id = n.id and d.before is not null;
end $$;

create event trigger pantheon_runbook_start on ddl_command_start execute function pantheon_runbook.note_start();
create event trigger pantheon_runbook_rewrite on table_rewrite execute function pantheon_runbook.note_rewrite();
create event trigger pantheon_runbook_end on ddl_command_end execute function pantheon_runbook.note_end();
-- Also for a revision that calls itself a replica, to be rid of triggers.
alter event trigger pantheon_runbook_start enable always;
alter event trigger pantheon_runbook_rewrite enable always;
alter event trigger pantheon_runbook_end enable always;

reset search_path;
