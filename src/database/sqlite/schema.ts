/**
 * The tables, as plain SQL that any tool can read. Forward-only: a released entry of `migrations` is never edited.
 * `{p}` stands for the configured prefix.
 */
export const migrations: readonly string[] = [
  `
  create table {p}meta (name text primary key, value any) strict, without rowid;

  -- What is fixed about a topic.
  create table {p}topic (
    topic integer primary key, name text not null unique, partitions integer not null,
    keyed integer, id_reuse text not null, retention_ms integer not null, duplicates integer not null default 0) strict;

  -- head: last offset given; tail: last offset removed by retention.
  create table {p}partition (
    partition integer primary key, topic integer not null references {p}topic, number integer not null,
    head integer not null default 0, tail integer not null default 0, unique (topic, number)) strict;

  -- The log. position = partition * 2^40 + offset: one B-tree, every partition a range that is only appended to.
  create table {p}log (
    position integer primary key, source text not null, id text not null, sequence integer, key text,
    type text, time_ms integer not null, headers text, data text not null) strict;
  create view {p}message as
    select t.name as topic, p.number as partition, l.position & 1099511627775 as "offset",
      l.source, l.id, l.sequence, l.key, coalesce(l.type, t.name) as type, l.time_ms, l.headers, l.data
    from {p}log l join {p}partition p on p.partition = l.position >> 40 join {p}topic t on t.topic = p.topic;

  -- Identities. A window remembers for one topic (publish, grp = '') or one subscription (inbox).
  create table {p}source (source integer primary key, name text not null unique) strict;
  create table {p}window (window integer primary key, topic text not null, grp text not null, unique (topic, grp)) strict;
  -- The newest generation of a window takes the new identities; the others are only read, through a filter.
  create table {p}generation (
    generation integer primary key, window integer not null references {p}window, opened_ms integer not null,
    sealed_ms integer, observed_ms integer not null default 0, rows integer not null default 0, filter blob) strict;
  create index {p}generation_window on {p}generation (window, generation);
  create table {p}identity (
    generation integer not null, source integer not null, key blob not null, body blob not null,
    primary key (generation, source, key)) strict, without rowid;
  -- Messages numbered by their producer: everything received, as ranges.
  create table {p}sequence (
    window integer not null, source integer not null, ranges text not null,
    primary key (window, source)) strict, without rowid;
  create table {p}sequence_body (
    window integer not null, source integer not null, sequence integer not null, body blob not null,
    primary key (window, source, sequence)) strict, without rowid;

  create table {p}subscription (
    subscription integer primary key, topic text not null, grp text not null, semantics text not null,
    start_from text not null, fenced integer not null default 0, created_ms integer not null, unique (topic, grp)) strict;
  create table {p}checkpoint (
    subscription integer not null references {p}subscription, partition text not null, "offset" integer,
    applied integer not null default 0, suppressed integer not null default 0,
    primary key (subscription, partition)) strict, without rowid;

  create table {p}owner (owner integer primary key autoincrement, pid integer not null, host text not null, started_at text not null, until_ms integer not null) strict;
  create table {p}member (membership text not null, owner integer not null, primary key (membership, owner)) strict, without rowid;
  create table {p}lease (
    name text primary key, epoch integer not null, owner integer, until_ms integer not null,
    commits integer not null default 0, crashes integer not null default 0) strict, without rowid;

  create table {p}parked (
    parked integer primary key autoincrement, subscription integer not null references {p}subscription, partition text not null,
    lane text, state text not null, due_ms integer not null, attempts integer not null, crashes integer not null, parked_ms integer not null,
    source text not null, id text not null, sequence integer, key text, type text, time_ms integer not null, headers text, data text not null) strict;
  create index {p}parked_lane on {p}parked (subscription, partition, lane, parked);
  create index {p}parked_due on {p}parked (subscription, partition, due_ms) where state = 'waiting';
  create index {p}parked_identity on {p}parked (subscription, source, id);
  create table {p}start_mark (
    subscription integer not null, partition text not null, identity text not null, starts integer not null,
    primary key (subscription, partition, identity)) strict, without rowid;

  create table {p}attention (
    attention integer primary key autoincrement, parked integer not null, subscription integer not null references {p}subscription, partition text not null,
    kind text not null, state text not null, fingerprint text not null, error_name text not null, error_message text not null, error_stack text not null,
    attempts integer not null, crashes integer not null, since_ms integer not null, by text, reason text, closed_ms integer,
    source text not null, id text not null, sequence integer, key text, type text, time_ms integer not null, headers text, data text not null) strict;
  create index {p}attention_state on {p}attention (state, subscription);

  create table {p}outbox (
    outbox integer primary key autoincrement, topic text not null, cause text, appended_ms integer not null,
    source text not null, id text not null, sequence integer, key text, type text, time_ms integer not null, headers text, data text not null) strict;

  create table {p}schedule (
    schedule integer primary key autoincrement, due_ms integer not null, topic integer not null references {p}topic,
    source text not null, id text not null, sequence integer, key text, type text, time_ms integer not null, headers text, data text not null) strict;
  create index {p}schedule_due on {p}schedule (due_ms);
  `,
  `
  -- The journal of external calls: one row per message, call and round. A row is opened by a fenced intent before the request.
  -- generation: the newest of the identity window at that time; when all up to it are gone, so is this row.
  create table {p}call (
    subscription integer not null references {p}subscription, identity text not null, name text not null, round integer not null,
    state text not null, rule text not null, token text not null, requests integer not null,
    lease text not null, epoch integer not null, pid integer not null, host text not null, started_at text not null,
    intent_ms integer not null, settled_ms integer, settled_by text, result text,
    error_name text, error_code text, error_message text, generation integer not null, key text,
    primary key (subscription, identity, name, round)) strict, without rowid;
  create index {p}call_key on {p}call (key) where key is not null;
  create index {p}call_generation on {p}call (subscription, generation);

  -- Failed attempts of parked messages, the newest few, in the order they were made: after a redrive attempt counts from 1 again.
  create table {p}attempt (
    parked integer not null, turn integer not null, attempt integer not null, at_ms integer not null,
    error_name text not null, error_message text not null, error_stack text not null,
    primary key (parked, turn)) strict, without rowid;

  -- Who did what to an attention item, when and why; details is JSON.
  create table {p}audit (
    audit integer primary key autoincrement, attention integer not null references {p}attention, action text not null,
    by text, reason text, at_ms integer not null, details text) strict;
  create index {p}audit_attention on {p}audit (attention);
  -- Bodies before and after an edit; the identity stays.
  create table {p}revision (
    revision integer primary key autoincrement, attention integer not null references {p}attention,
    subscription integer not null references {p}subscription, source text not null, id text not null,
    by text not null, reason text, at_ms integer not null, before text not null, after text not null) strict;
  create index {p}attention_fingerprint on {p}attention (state, fingerprint);
  create index {p}attention_parked on {p}attention (parked);

  -- A message published up to this time may have been received and forgotten; null as long as nothing was.
  alter table {p}window add column forgotten_ms integer;
  -- newest_ms: newest time a producer stated. running_ms: how long Onefold had been seen running (meta.running_ms) when the
  -- sealing was noticed. dropped: forgotten, its rows go in small ranges. The filter last: what stands behind it is slow to read.
  -- Copied twice instead of renamed: a rename fails when any view of the user's is broken.
  create table {p}generation_before as select * from {p}generation;
  drop table {p}generation;
  create table {p}generation (
    generation integer primary key, window integer not null references {p}window, opened_ms integer not null,
    sealed_ms integer, running_ms integer, newest_ms integer, dropped integer not null default 0,
    rows integer not null default 0, filter blob) strict;
  insert into {p}generation (generation, window, opened_ms, sealed_ms, running_ms, rows, filter)
    select generation, window, opened_ms, sealed_ms, iif(sealed_ms is null, null, -observed_ms), rows, filter from {p}generation_before;
  drop table {p}generation_before;
  create index {p}generation_window on {p}generation (window, generation);
  create index {p}schedule_identity on {p}schedule (topic, source, id);

  -- Under which lease it was started last: a start is counted once in each.
  alter table {p}start_mark add column epoch integer not null default 0;

  -- Not to be delivered before this time, where the broker is told so.
  alter table {p}outbox add column deliver_at_ms integer;
  -- Where its topic puts it, and the order its topic keeps.
  alter table {p}outbox add column partition integer not null default 0;
  alter table {p}outbox add column ordered text not null default 'key';
  -- Given by the relay before it is sent for the first time: number is the next of the series, without gaps.
  alter table {p}outbox add column series text;
  alter table {p}outbox add column number integer;
  -- The broker will never take it: it waits here for somebody to look.
  alter table {p}outbox add column refused_ms integer;
  alter table {p}outbox add column refusal text;
  -- A series is an incarnation of this database, a topic and a partition.
  create table {p}outbox_series (series text primary key, last integer not null) strict, without rowid;

  -- Firings up to and including last_ms have been published or given up.
  create table {p}cron (
    topic text not null, name text not null, pattern text not null, time_zone text not null, last_ms integer not null,
    fired integer not null default 0, missed integer not null default 0, primary key (topic, name)) strict, without rowid;

  -- Who had the data of a key erased, when and why. Of the key only a salted SHA-256 stays; finished_ms is null until all is done.
  create table {p}erasure (
    erasure integer primary key autoincrement, topic text not null, key_salt blob not null, key_digest blob not null,
    by text not null, reason text, at_ms integer not null, finished_ms integer, rows integer not null default 0) strict;
  `,
]

/** Offsets of one partition fill 40 bits; partitions the 13 bits above, so that a position stays a safe integer. */
export const offsetSpan = 2 ** 40
export const maxPartitionNumber = 2 ** 13 - 1
