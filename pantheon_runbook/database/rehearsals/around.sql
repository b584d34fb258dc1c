-- What pg_dump of named schemas leaves out, as statements in the order in which they are carried out. Read only.

with application as (
    select p.oid, p.oid::regprocedure::text as name from pg_proc p join pg_namespace n on n.oid = pronamespace
    where $application
), guests as (
    select c.oid, format('%I.%I', nspname, relname) as name from pg_class c join pg_namespace n on n.oid = relnamespace
    where $others and relkind in ('r', 'p')
), defaults as (
    select pg_default_acl.*, case defaclobjtype when 'r' then 'tables' when 'S' then 'sequences'
        when 'f' then 'functions' when 'T' then 'types' when 'n' then 'schemas' end as objects
    from pg_default_acl where defaclnamespace = 0
)
select statement from (
    select 1 as step, pg_get_triggerdef(g.oid) as statement from pg_trigger g join application on application.oid = tgfoid
    where not tgisinternal and tgrelid in (select oid from guests)
    union all
    select 2, concat_ws(' ', format('create policy %I on %s as %s for %s to', polname, name,
            case when polpermissive then 'permissive' else 'restrictive' end,
            case polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete'
                else 'all' end),
        (select string_agg(case role when 0 then 'public' else quote_ident(pg_get_userbyid(role)) end, ', ')
         from unnest(polroles) as role),
        'using (' || pg_get_expr(polqual, polrelid) || ')', 'with check (' || pg_get_expr(polwithcheck, polrelid) || ')')
    from pg_policy join guests on guests.oid = polrelid
    union all
    -- In every schema: they stand in the place of the built-in ones, so all of those go first.
    select 3, format('alter default privileges for role %I revoke all on %s from public, %1$I',
                     pg_get_userbyid(defaclrole), objects)
    from defaults where objects is not null
    union all
    select 4, format('alter default privileges for role %I grant %s on %s to %s%s', pg_get_userbyid(defaclrole),
        privilege_type, objects, case grantee when 0 then 'public' else quote_ident(pg_get_userbyid(grantee)) end,
        case when is_grantable then ' with grant option' else '' end)
    from defaults, lateral aclexplode(defaclacl) where objects is not null
    union all
    select 5, concat_ws(' ', format('create event trigger %I on %s', evtname, evtevent),
        'when tag in (' || (select string_agg(quote_literal(tag), ', ') from unnest(evttags) as tag) || ')',
        'execute function', name)
    from pg_event_trigger join application on application.oid = evtfoid where evtenabled = 'O'
) as statements order by step, statement
