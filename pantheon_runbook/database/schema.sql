-- One row (subject, definition) for each thing that stands in the application's own schemas. Read only; every name is
-- spelled in full, since search_path is empty; what came with an extension is the extension's.
-- A right that PostgreSQL 15 does not know, MAINTAIN, is no part of "ALL": who had all there has all in 18.
-- $1: Alembic's table, in full   $2: roles whose grants are left out   $3: extensions of others

with schemas as (
    select oid, nspname, nspowner, nspacl
    from pg_namespace n
    where $application
      and not exists (select from pg_depend d
                      where d.classid = 'pg_namespace'::regclass and d.objid = n.oid and d.deptype = 'e')
), relations as (
    select c.*, format('%I.%I', s.nspname, c.relname) as name
    from pg_class c join schemas s on s.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'v', 'm', 'S', 'f') and format('%s.%s', s.nspname, c.relname) <> $1::text
      and not exists (select from pg_depend d
                      where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
), guests as (  -- tables of others, on which an application may have put a policy or a trigger
    select c.oid, format('%I.%I', n.nspname, c.relname) as name
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p') and $others and n.nspname <> 'information_schema'
), functions as (
    select p.*, p.oid::regprocedure::text as name
    from pg_proc p join schemas s on s.oid = p.pronamespace
    where not exists (select from pg_depend d  -- 'i': the constructors of a range type are the type's
                      where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype in ('e', 'i'))
), types as (
    select t.*, format('%I.%I', s.nspname, t.typname) as name
    from pg_type t join schemas s on s.oid = t.typnamespace
    where (t.typtype in ('e', 'd', 'r')
           or t.typtype = 'c' and (select relkind = 'c' from pg_class where oid = t.typrelid))
      and not exists (select from pg_depend d
                      where d.classid = 'pg_type'::regclass and d.objid = t.oid and d.deptype = 'e')
), rights (name, kind, owner, acl) as (
    select format('%I', nspname), 'n'::"char", nspowner, nspacl from schemas
    union all
    select name, (case relkind when 'S' then 's' else 'r' end)::"char", relowner, relacl from relations
    union all
    select name, 'f'::"char", proowner, proacl from functions
    union all
    select name, 'T'::"char", typowner, typacl from types
), granted as (
    select name, kind, owner, grantee, privilege_type as privilege, bool_or(is_grantable) as is_grantable
    from rights, lateral aclexplode(coalesce(acl, acldefault(kind, owner))) group by 1, 2, 3, 4, 5
    union all
    select format('%s.%I', r.name, a.attname), 'c'::"char", r.relowner, grantee, privilege_type, bool_or(is_grantable)
    from relations r join pg_attribute a on a.attrelid = r.oid and not a.attisdropped, lateral aclexplode(a.attacl)
    group by 1, 2, 3, 4, 5
), defaults as (
    select defaclrole as role, defaclnamespace as schema, defaclobjtype as objects, grantee,
        (case defaclobjtype when 'S' then 's' else defaclobjtype end)::"char" as kind,
        privilege_type as privilege, bool_or(is_grantable) as is_grantable
    from pg_default_acl, lateral aclexplode(defaclacl)
    where defaclnamespace = 0 or defaclnamespace in (select oid from schemas)
    group by 1, 2, 3, 4, 5, 6
)

select format('schema %I', nspname) as subject, 'owner ' || quote_ident(pg_get_userbyid(nspowner)) as definition
from schemas

union all
select format('%s %s', case when relkind in ('v', 'm') then 'view' else 'table' end, name),
    concat_ws(', ',
        case relkind when 'm' then 'materialized' when 'f' then 'foreign' end,
        case relkind when 'p' then 'partitioned by ' || pg_get_partkeydef(r.oid) end,
        (select (case when relispartition then 'partition of ' else 'inherits ' end)
             || string_agg(inhparent::regclass::text, ', ' order by inhseqno)
         from pg_inherits where inhrelid = r.oid),
        case when relispartition then pg_get_expr(relpartbound, r.oid) end,
        case relpersistence when 'u' then 'unlogged' end,
        case when relrowsecurity then 'row level security' end,
        case when relforcerowsecurity then 'forced on its owner' end,
        case when relkind not in ('r', 'p') then null when relreplident = 'f' then 'replica identity full' when relreplident = 'n' then 'replica identity nothing'
            when relreplident = 'i' then 'replica identity ' || (select indexrelid::regclass::text from pg_index
                                                  where indrelid = r.oid and indisreplident) end,
        array_to_string(reloptions, ', '),
        case when relkind in ('v', 'm') then pg_get_viewdef(r.oid) end,
        'owner ' || quote_ident(pg_get_userbyid(relowner)))
from relations r where relkind <> 'S'

union all
select format('sequence %s', name),
    concat_ws(', ', format_type(seqtypid, null), 'start ' || seqstart, 'by ' || seqincrement,
        format('from %s to %s', seqmin, seqmax), 'cache ' || seqcache, case when seqcycle then 'cycle' end,
        (select format('of %s.%I', d.refobjid::regclass, a.attname)
         from pg_depend d join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
         where d.classid = 'pg_class'::regclass and d.objid = r.oid and d.deptype in ('a', 'i')
           and d.refclassid = 'pg_class'::regclass),
        'owner ' || quote_ident(pg_get_userbyid(relowner)))
from relations r join pg_sequence on seqrelid = r.oid

union all
select format('column %s.%I', r.name, attname),
    concat_ws(' ', format_type(atttypid, atttypmod),
        case when attcollation <> typcollation then 'COLLATE ' || attcollation::regcollation end,
        case when attnotnull then 'NOT NULL' end,
        case attidentity when 'a' then 'GENERATED ALWAYS AS IDENTITY' when 'd' then 'GENERATED BY DEFAULT AS IDENTITY' end,
        case attgenerated when '' then 'DEFAULT ' || pg_get_expr(adbin, adrelid)
            else format('GENERATED ALWAYS AS (%s) %s', pg_get_expr(adbin, adrelid),
                        case attgenerated when 's' then 'STORED' else 'VIRTUAL' end) end)
from relations r join pg_attribute on attrelid = r.oid join pg_type t on t.oid = atttypid
    left join pg_attrdef on adrelid = attrelid and adnum = attnum
where relkind in ('r', 'p', 'f') and attnum > 0 and not attisdropped

union all
select format('constraint %s.%I', r.name, conname), pg_get_constraintdef(k.oid)
from relations r join pg_constraint k on conrelid = r.oid
where contype in ('c', 'f', 'p', 'u', 'x') and conparentid = 0

union all
select format('index %s.%I', r.name, i.relname),
    concat_ws(', ', pg_get_indexdef(indexrelid), case when not indisvalid then 'not valid' end,
        case when indisclustered then 'clustered' end)
from relations r join pg_index x on indrelid = r.oid join pg_class i on i.oid = indexrelid
where not exists (select from pg_constraint where conindid = indexrelid and conrelid = indrelid
                  and contype in ('p', 'u', 'x'))

union all
select format('policy %s.%I', t.name, polname),
    concat_ws(' ', case when polpermissive then 'PERMISSIVE' else 'RESTRICTIVE' end,
        'FOR ' || case polcmd when 'r' then 'SELECT' when 'a' then 'INSERT' when 'w' then 'UPDATE' when 'd' then 'DELETE'
            else 'ALL' end,
        'TO ' || (select string_agg(case role when 0 then 'PUBLIC' else quote_ident(pg_get_userbyid(role)) end, ', '
                                    order by role = 0, pg_get_userbyid(role))
                  from unnest(polroles) as role),
        'USING (' || pg_get_expr(polqual, polrelid) || ')', 'WITH CHECK (' || pg_get_expr(polwithcheck, polrelid) || ')')
from (select oid, name from relations union all select oid, name from guests) t join pg_policy on polrelid = t.oid

union all
select format('trigger %s.%I', t.name, tgname),
    concat_ws(', ', pg_get_triggerdef(g.oid),
        case tgenabled when 'D' then 'disabled' when 'R' then 'on replicas' when 'A' then 'always' end)
from (select oid, name, false as is_guest from relations union all select oid, name, true from guests) t
    join pg_trigger g on tgrelid = t.oid
where not tgisinternal and tgparentid = 0 and (not is_guest or tgfoid in (select oid from functions))

union all
select format('rule %s.%I', r.name, rulename), pg_get_ruledef(w.oid)
from relations r join pg_rewrite w on ev_class = r.oid where rulename <> '_RETURN'

union all
select format('function %s', name),
    concat_ws(', ', case prokind when 'a' then
            (select concat_ws(' ', 'aggregate', aggtransfn::regprocedure::text, format_type(aggtranstype, null),
                              nullif(aggfinalfn, 0)::regprocedure::text, agginitval)
             from pg_aggregate where aggfnoid = f.oid)
        else rtrim(pg_get_functiondef(f.oid), E'\n') end,
        'owner ' || quote_ident(pg_get_userbyid(proowner)))
from functions f

union all
select format('enum %s', name),
    (select string_agg(quote_literal(enumlabel), ', ' order by enumsortorder) from pg_enum where enumtypid = t.oid)
        || ', owner ' || quote_ident(pg_get_userbyid(typowner))
from types t where typtype = 'e'

union all
select format('type %s', name),
    concat_ws(', ', case typtype
        when 'd' then concat_ws(' ', 'domain', format_type(typbasetype, typtypmod), case when typnotnull then 'NOT NULL' end,
            'DEFAULT ' || typdefault,
            (select string_agg(format('CONSTRAINT %I %s', conname, pg_get_constraintdef(k.oid)), ' ' order by conname)
             from pg_constraint k where contypid = t.oid and contype = 'c'))
        when 'r' then 'range of ' || (select format_type(rngsubtype, null) from pg_range where rngtypid = t.oid)
        else (select format('(%s)', string_agg(format('%I %s', attname, format_type(atttypid, atttypmod)), ', '
                                              order by attnum))
              from pg_attribute where attrelid = typrelid and attnum > 0 and not attisdropped) end,
        'owner ' || quote_ident(pg_get_userbyid(typowner)))
from types t where typtype <> 'e'

union all
select format('grant %s to %s', name, case grantee when 0 then 'PUBLIC' else quote_ident(pg_get_userbyid(grantee)) end),
    case when count(*) filter (where privilege <> 'MAINTAIN') = every
        then case when bool_and(is_grantable) then 'ALL WITH GRANT OPTION' else 'ALL' end
        else string_agg(privilege || case when is_grantable then ' WITH GRANT OPTION' else '' end, ', '
                        order by privilege) end
from granted, lateral (
    select count(*) from aclexplode(acldefault(kind, owner)) a
    where a.grantee = owner and a.privilege_type <> 'MAINTAIN') as all_of (every)
where grantee = 0 or pg_get_userbyid(grantee) <> all($2::text[])
group by name, kind, owner, grantee, every
-- That an owner may do everything goes without saying.
having grantee <> owner or count(*) filter (where privilege <> 'MAINTAIN') <> every

union all
select format('defaults of %I%s on %s', pg_get_userbyid(role), ' in ' || quote_ident(nspname),
        case objects when 'r' then 'tables' when 'S' then 'sequences' when 'f' then 'functions' when 'T' then 'types'
            when 'n' then 'schemas' else 'large objects' end),
    string_agg(rights, ', ' order by rights)
from (select role, schema, objects,
          format('%s to %s',
              case when count(*) filter (where privilege <> 'MAINTAIN') = every then 'ALL'
                  else string_agg(privilege, ', ' order by privilege) end
                  || case when bool_or(is_grantable) then ' WITH GRANT OPTION' else '' end,
              case grantee when 0 then 'PUBLIC' else quote_ident(pg_get_userbyid(grantee)) end) as rights
      from defaults, lateral (
          select count(*) from aclexplode(acldefault(kind, role)) a
          where a.grantee = role and a.privilege_type <> 'MAINTAIN') as all_of (every)
      where grantee = 0 or pg_get_userbyid(grantee) <> all($2::text[])
      group by role, schema, objects, grantee, every) as given
    left join pg_namespace n on n.oid = schema
group by role, schema, objects, nspname

union all
select format('extension %I', extname), 'in schema ' || quote_ident(nspname)
from pg_extension join pg_namespace n on n.oid = extnamespace where extname <> all($3::text[])

union all
select format('statistics %I.%I', nspname, stxname), pg_get_statisticsobjdef(x.oid)
from pg_statistic_ext x join schemas s on s.oid = stxnamespace

union all
select format('publication %I', pubname), string_agg(name, ', ' order by name)
from pg_publication p join pg_publication_rel on prpubid = p.oid join relations r on r.oid = prrelid group by pubname

union all
select format('event %I', evtname),
    concat_ws(' ', 'on', evtevent, 'when tag in (' || array_to_string(evttags, ', ') || ')', 'execute', name,
        case evtenabled when 'D' then 'disabled' when 'R' then 'on replicas' when 'A' then 'always' end)
from pg_event_trigger join functions f on f.oid = evtfoid

union all
select format('comment %s%s', name, '.' || quote_ident(attname)), quote_literal(description)
from (select 'pg_class'::regclass as place, oid, name from relations
      union all select 'pg_proc'::regclass, oid, name from functions
      union all select 'pg_type'::regclass, oid, name from types) as named
    join pg_description d on d.classoid = place and d.objoid = named.oid
    left join pg_attribute on place = 'pg_class'::regclass and attrelid = named.oid and attnum = objsubid and objsubid > 0
