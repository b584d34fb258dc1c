-- What a refresh drops, as (kind, name) for a DROP statement; names are in full. Read only, search_path is empty.
-- Everything that stands in a schema depends on it in PostgreSQL's own book; what an extension brought, and what goes
-- with something else (a row's type, an identity's sequence), is left to those.

with application as (
    select oid, nspname, nspowner from pg_namespace n
    where $application
      and (nspname = 'public' or pg_get_userbyid(nspowner) not like 'supabase\_%')  -- newer ones of Supabase's
      and not exists (select from pg_depend
                      where classid = 'pg_namespace'::regclass and objid = n.oid and deptype = 'e')
), standing as (
    select named.type, named.identity
    from pg_depend d, lateral pg_identify_object(d.classid, d.objid, 0) as named
    where d.refclassid = 'pg_namespace'::regclass and d.refobjid in (select oid from application) and d.deptype = 'n'
      and d.classid not in ('pg_default_acl'::regclass, 'pg_extension'::regclass)
      and not exists (select from pg_depend e  -- a partitioned table is in this sense a part of its own key
                      where e.classid = d.classid and e.objid = d.objid and e.objsubid = 0 and e.deptype in ('e', 'i')
                        and (e.refclassid, e.refobjid) <> (d.classid, d.objid))
)
select kind, name from (
    select 1 as step, case when type in ('function', 'procedure', 'aggregate') then 'routine'
        when type = 'statistics object' then 'statistics' else type end as kind, identity as name
    from standing
    union all
    select 2, 'publication', format('%I', pubname) from pg_publication
    where pg_has_role(pubowner, 'USAGE') and pubname not like 'supabase\_%'
    union all  -- a schema that an extension lives in stays, empty
    select 3, 'schema', format('%I', nspname) from application
    where nspname <> 'public'
      and not exists (select from pg_extension where extnamespace = application.oid)
      and not exists (select from pg_depend d join pg_depend e on e.classid = d.classid and e.objid = d.objid
                      where d.refclassid = 'pg_namespace'::regclass and d.refobjid = application.oid
                        and e.deptype = 'e')
) as everything order by step, kind, name
