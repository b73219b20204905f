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
]

/** Offsets of one partition fill 40 bits; partitions the 13 bits above, so that a position stays a safe integer. */
export const offsetSpan = 2 ** 40
export const maxPartitionNumber = 2 ** 13 - 1
