-- Whatever a schema may hold that a dump, or PostgreSQL's own spelling of it, could lose.

create role app_owner nologin noinherit; create role reporting nologin bypassrls; grant app_owner to postgres;
grant usage on schema public to app_owner, reporting; grant create on schema public to app_owner;
create schema "App Data" authorization app_owner; comment on schema "App Data" is 'odd: name';
alter default privileges for role postgres revoke execute on functions from public;
alter default privileges for role postgres grant select on tables to reporting;
alter default privileges for role app_owner in schema "App Data" grant select, insert on tables to reporting;
create extension hstore schema public; create extension btree_gist schema extensions;
create type public.mood as enum ('good', 'it''s: bad', 'so, so');
create domain public.email as text check (value like '%@%') not null default 'a@b';
create type public.place as (street text, number int);
create type public.span as range (subtype = numeric);
create table public.odd (
    id bigint generated always as identity (start 100 increment 5) primary key, serial serial, state varchar(9) not null
      check (state in ('a', 'b', 'it''s, c')), mood public.mood default 'good', mail public.email, at public.place,
    tags hstore, price numeric(10, 2) check (price between 0 and 1e6), twice int generated always as (serial * 2) stored,
    name text collate "C", owner uuid references auth.users (id) on delete cascade deferrable initially deferred,
    at_night timestamptz default now() - interval '1 day', vec extensions.vector(3), hash bytea,
    unique nulls not distinct (name, state), constraint odd_when check (state <> 'a' or not (price > 3 and name is null)),
    exclude using gist (serial with =, price with <>)
);
alter table public.odd add constraint late check (serial > 0) not valid;
create table public."Odd: two.three" ("a: b" int, "C" text default E'\n'); comment on column public."Odd: two.three"."C" is 'x';
create table public.parts (id int, at date, primary key (id, at)) partition by range (at);
create table public.parts_1 partition of public.parts for values from ('2020-01-01') to ('2021-01-01');
create table public.parts_2 partition of public.parts default; create index on public.parts (at);
create table public.points_at (id int, at date, foreign key (id, at) references public.parts);
create unlogged table public.quick (id int) with (fillfactor = 70); alter table public.quick replica identity full;
create table public.child (more int) inherits (public.quick);
create index odd_expr on public.odd (lower(name), state desc nulls last) include (mood) where state in ('a', 'b');
create unique index odd_hash on public.odd ((coalesce(name, 'x')));
create statistics public.odd_stats (dependencies) on state, mood from public.odd;
create view public.shown with (security_invoker) as
    select o.id, count(*) as n from public.odd o left join public."Odd: two.three" t on t."a: b" = o.serial
    where o.state in ('a', 'b') and o.mood <> all (array['good'::public.mood]) group by o.id having count(*) > 1;
create view public.plain as select *, row_number() over (partition by state) from public.odd;
create materialized view public.kept as select state, sum(price) from public.odd group by 1; create index on public.kept (state);
create rule no_update as on update to public.child where new.more = 1 do instead nothing;
create function public.touch() returns trigger language plpgsql security definer set search_path = '' as $f$
  begin /* select: 'x' */ new.name := $$it's$$; return new; end $f$;
create function public.of_mine(variadic x int[] default '{1}') returns setof public.odd language sql stable as 'select * from public.odd';
create procedure public.go(inout x int) language plpgsql as 'begin x := 1; end';
create function public.atomic(a int) returns int begin atomic select a + 1; end;
create aggregate public.total(int) (sfunc = int4pl, stype = int, initcond = '0');
create trigger touched before insert or update of name on public.odd for each row when (new.state in ('a', 'b'))
  execute function public.touch();
alter table public.odd disable trigger touched;
create trigger on_user after insert on auth.users for each row execute function public.touch();
create policy "own: files" on storage.objects as restrictive for select to authenticated, reporting
  using (bucket_id = 'x' and (storage.foldername(name))[1] = auth.uid()::text);
alter table public.odd enable row level security; alter table public.odd force row level security;
create policy p on public.odd for update to public using (owner = (select auth.uid())) with check (state in ('a', 'b'));
grant select (id, name), update (name) on public.odd to anon with grant option; revoke all on public.quick from service_role;
grant all on public.quick to reporting with grant option; revoke insert on public.quick from postgres;
grant execute on function public.touch() to app_owner; revoke usage on type public.mood from public;
alter table public."Odd: two.three" owner to app_owner; alter view public.shown owner to app_owner;
create table "App Data".t (id uuid default extensions.uuid_generate_v4(), k text default encode(extensions.digest('x', 'md5'), 'hex'));
alter table "App Data".t owner to app_owner;
create function public.on_ddl() returns event_trigger language plpgsql as 'begin null; end';
create event trigger ensure_something on ddl_command_end when tag in ('CREATE TABLE') execute function public.on_ddl();
create publication supabase_realtime; alter publication supabase_realtime add table public.odd, public."Odd: two.three";
create table public.alembic_version (version_num varchar(32) primary key); insert into public.alembic_version values ('a1'), ('b2');
insert into public.quick values (1); insert into public.parts values (1, '2020-02-02');
