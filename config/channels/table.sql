-- The two tables of a channel of kind `table`, for PostgreSQL 12 and later. The host writes into stellwerk_in and reads
-- stellwerk_out; the gateway does it the other way round. Names may be others: see docs/channels.md.

create table if not exists stellwerk_in (
  id         bigint generated always as identity primary key,
  payload    jsonb not null,               -- a request, or a record of the host; text formats as a JSON string
  written_at timestamptz not null default now(),
  taken_at   timestamptz                   -- null while it waits; set by the gateway together with the answer
);
create index if not exists stellwerk_in_waiting on stellwerk_in (id) where taken_at is null;

create table if not exists stellwerk_out (
  id         bigint generated always as identity primary key,
  kind       text not null check (kind in ('answer', 'order', 'step')),
  written_at timestamptz not null default now(),
  -- answers: one for each request of a row
  in_id      text,                         -- the row's id
  request_id text,
  request    text,                         -- what was asked: create_order O1
  accepted   boolean,
  code       text,                         -- kind of a refusal: unknown, invalid, conflict, version, limit, reused
  place      text,                         -- which record of the row, where it holds several
  reason     text,
  -- events: what becomes of the orders of this channel
  seq        bigint,                       -- seq and number name the event for ever
  number     integer,
  at         timestamptz,
  order_id   text,
  state      text,
  body       jsonb,
  unique (seq, number)
);

-- A hint, so that the gateway need not wait for its next look.
create or replace function stellwerk_hint() returns trigger language plpgsql as $$
begin
  perform pg_notify('stellwerk_in', '');
  return null;
end $$;
drop trigger if exists stellwerk_in_hint on stellwerk_in;
create trigger stellwerk_in_hint after insert on stellwerk_in
  for each statement execute function stellwerk_hint();

-- The gateway's own user needs no more than this:
-- grant select, update on stellwerk_in to stellwerk;
-- grant insert, select on stellwerk_out to stellwerk;
