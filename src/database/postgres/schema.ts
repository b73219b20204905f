/**
 * The tables, as plain SQL that any tool can read. Forward-only: a released entry of `migrations` is never edited.
 * `{s}` stands for the configured schema, quoted.
 */
export const migrations: readonly string[] = [
  `
  create table {s}.meta (name text primary key, value text not null);
  -- Which life of the server this is. Unlogged: a recovery from a crash empties it, and so does a failover. A transaction's number
  -- that was given out before, and was not yet on disk, may be given out again after.
  create unlogged table {s}.server_life (one boolean primary key default true check (one), life text not null);

  -- What is fixed about a topic.
  create table {s}.topic (
    topic integer generated always as identity primary key, name text collate "C" not null unique, partitions integer not null,
    keyed boolean, id_reuse text not null, retention_ms bigint not null, duplicates bigint not null default 0);
  -- Repeats counted since they were last added up: a row for all to update would make publishers wait for each other.
  create table {s}.duplicate (topic integer not null, count integer not null);

  -- head: last offset given; tail: last offset removed by retention. seen: all that was visible when offsets were given last.
  create table {s}.partition (
    partition integer generated always as identity primary key, topic integer not null references {s}.topic, number integer not null,
    head bigint not null default 0, tail bigint not null default 0, seen pg_snapshot not null default '3:3:',
    unique (topic, number)) with (fillfactor = 50);

  -- The log. A row enters without an offset; xid is the transaction that wrote it. receipt: a random number of the call that published it by
  -- itself, by which its publisher finds it again when the answer is lost.
  create table {s}.log (
    message bigint generated always as identity primary key, partition integer not null, xid xid8 not null default pg_current_xact_id(),
    source text not null, id text not null, sequence bigint, key text, type text, time_ms bigint not null, headers text, data text not null,
    receipt bigint);
  create index log_new on {s}.log (partition, xid, message);
  -- Offsets, in the order in which messages became visible: those from first to last are the messages listed.
  create table {s}.log_position (
    partition integer not null, last bigint not null, first bigint not null, messages bigint[] not null, primary key (partition, last));
  -- Committed messages; those that nobody has looked for yet have no offset.
  create view {s}.message as
    select t.name as topic, p.number as partition, o."offset",
      l.source, l.id, l.sequence, l.key, coalesce(l.type, t.name) as type, l.time_ms, l.headers, l.data
    from {s}.log l join {s}.partition p on p.partition = l.partition join {s}.topic t on t.topic = p.topic
      left join (select m.message, q.first + m.n - 1 as "offset" from {s}.log_position q
        cross join lateral unnest(q.messages) with ordinality m (message, n)) o on o.message = l.message;

  -- Identities. A window remembers for one topic (publish, grp = '') or one subscription (inbox).
  create table {s}.dedup_window (
    dedup integer generated always as identity primary key, topic text collate "C" not null, grp text collate "C" not null,
    current integer not null, forgotten_ms bigint, unique (topic, grp));
  -- Up to when something has been forgotten, as of now, once so many rows are in (claimed): what a statement sees by itself is
  -- what was so when it began, and it may have waited for another transaction since.
  create function {s}.forgotten_ms(wanted integer, claimed bigint) returns bigint language plpgsql volatile as $$
  begin
    return (select w.forgotten_ms from {s}.dedup_window w where w.dedup = wanted);
  end
  $$;
  -- Which identities go together when they are forgotten. rows: as last counted.
  create table {s}.generation (
    generation integer generated always as identity primary key, dedup integer not null, opened_ms bigint not null,
    sealed_ms bigint, running_ms bigint, newest_ms bigint, dropped boolean not null default false, rows bigint not null default 0);
  create index generation_dedup on {s}.generation (dedup, generation);
  create table {s}.identity (
    dedup integer not null, source text collate "C" not null, key bytea not null, body bytea not null, generation integer not null,
    time_ms bigint not null, primary key (dedup, source, key));
  create index identity_generation on {s}.identity (dedup, generation);
  -- Messages numbered by their producer: everything received, as ranges.
  create table {s}.sequence (
    dedup integer not null, source text collate "C" not null, ranges text not null, primary key (dedup, source)) with (fillfactor = 50);
  create table {s}.sequence_body (
    dedup integer not null, source text collate "C" not null, sequence bigint not null, body bytea not null,
    primary key (dedup, source, sequence));

  create table {s}.subscription (
    subscription integer generated always as identity primary key, topic text collate "C" not null, grp text collate "C" not null,
    semantics text not null, start_from text not null, fenced bigint not null default 0, created_ms bigint not null, unique (topic, grp));
  create table {s}.checkpoint (
    subscription integer not null references {s}.subscription, partition text collate "C" not null, "offset" bigint,
    applied bigint not null default 0, suppressed bigint not null default 0,
    primary key (subscription, partition)) with (fillfactor = 50);

  create table {s}.owner (
    owner bigint generated always as identity primary key, pid integer not null, host text not null, started_at text not null,
    until_ms bigint not null) with (fillfactor = 50);
  create table {s}.member (membership text collate "C" not null, owner bigint not null, primary key (membership, owner));
  -- Locked by every commit made under it; changed only when it changes hands.
  create table {s}.lease (
    name text collate "C" primary key, epoch bigint not null, owner bigint, crashes integer not null default 0) with (fillfactor = 50);

  create table {s}.parked (
    parked bigint generated always as identity primary key, subscription integer not null references {s}.subscription,
    partition text collate "C" not null, lane text collate "C", state text not null, due_ms bigint not null, attempts integer not null,
    crashes integer not null, parked_ms bigint not null,
    source text not null, id text not null, sequence bigint, key text, type text, time_ms bigint not null, headers text, data text not null);
  create index parked_lane on {s}.parked (subscription, partition, lane, parked);
  create index parked_due on {s}.parked (subscription, partition, due_ms) where state = 'waiting';
  create index parked_identity on {s}.parked (subscription, source, id);
  create table {s}.attempt (
    parked bigint not null, turn integer not null, attempt integer not null, at_ms bigint not null,
    error_name text not null, error_message text not null, error_stack text not null, primary key (parked, turn));
  create table {s}.start_mark (
    subscription integer not null, partition text collate "C" not null, identity text collate "C" not null, starts integer not null,
    epoch bigint not null default 0, primary key (subscription, partition, identity));

  create table {s}.attention (
    attention bigint generated always as identity primary key, parked bigint not null, subscription integer not null references {s}.subscription,
    partition text not null, kind text not null, state text not null, fingerprint text not null, error_name text not null,
    error_message text not null, error_stack text not null, attempts integer not null, crashes integer not null, since_ms bigint not null,
    by text, reason text, closed_ms bigint,
    source text not null, id text not null, sequence bigint, key text, type text, time_ms bigint not null, headers text, data text not null);
  create index attention_state on {s}.attention (state, subscription);
  create index attention_fingerprint on {s}.attention (state, fingerprint);
  create index attention_parked on {s}.attention (parked);
  -- Who did what to an attention item, when and why; details is JSON.
  create table {s}.audit (
    audit bigint generated always as identity primary key, attention bigint not null references {s}.attention, action text not null,
    by text, reason text, at_ms bigint not null, details text);
  create index audit_attention on {s}.audit (attention);
  -- Bodies before and after an edit; the identity stays.
  create table {s}.revision (
    revision bigint generated always as identity primary key, attention bigint not null references {s}.attention,
    subscription integer not null references {s}.subscription, source text not null, id text not null,
    by text not null, reason text, at_ms bigint not null, before text not null, after text not null);
  create index revision_attention on {s}.revision (attention);
  create index revision_identity on {s}.revision (subscription, source, id);

  -- The journal of external calls: one row per message, call and round. A row is opened by a fenced intent before the request.
  -- generation: the newest of the dedup windows at that time; when all up to it are gone, so is this row.
  create table {s}.call (
    subscription integer not null references {s}.subscription, identity text collate "C" not null, name text collate "C" not null,
    round integer not null, state text not null, rule text not null, token text not null, requests integer not null,
    lease text not null, epoch bigint not null, pid integer not null, host text not null, started_at text not null,
    intent_ms bigint not null, settled_ms bigint, settled_by text, result text,
    error_name text, error_code text, error_message text, generation integer not null, key text,
    primary key (subscription, identity, name, round));
  create index call_key on {s}.call (key) where key is not null;
  create index call_generation on {s}.call (subscription, generation);

  -- partition, ordered: where its topic puts it, and the order its topic keeps. series, number: given by the relay before it is sent for the
  -- first time; number is the next of the series, without gaps. refused_ms: the broker will never take it, and it waits for somebody to look.
  create table {s}.outbox (
    outbox bigint generated always as identity primary key, topic text not null, cause text, appended_ms bigint not null,
    deliver_at_ms bigint, partition integer not null default 0, ordered text not null default 'key',
    series text collate "C", number bigint, refused_ms bigint, refusal text,
    source text not null, id text not null, sequence bigint, key text, type text, time_ms bigint not null, headers text, data text not null);
  -- A series is an incarnation of these tables (with the oid of outbox) in a life of the server, a topic and a partition.
  create table {s}.outbox_series (series text collate "C" primary key, last bigint not null) with (fillfactor = 50);

  create table {s}.schedule (
    schedule bigint generated always as identity primary key, due_ms bigint not null, topic integer not null references {s}.topic,
    source text not null, id text not null, sequence bigint, key text, type text, time_ms bigint not null, headers text, data text not null);
  create index schedule_due on {s}.schedule (due_ms, schedule);
  create index schedule_identity on {s}.schedule (topic, source, id);
  -- Firings up to and including last_ms have been published or given up.
  create table {s}.cron (
    topic text collate "C" not null, name text collate "C" not null, pattern text not null, time_zone text not null, last_ms bigint not null,
    fired bigint not null default 0, missed bigint not null default 0, primary key (topic, name));

  -- Who had the data of a key erased, when and why. Of the key only a salted SHA-256 stays; finished_ms is null until all is done.
  create table {s}.erasure (
    erasure bigint generated always as identity primary key, topic text not null, key_salt bytea not null, key_digest bytea not null,
    by text not null, reason text, at_ms bigint not null, finished_ms bigint, rows bigint not null default 0);

  -- What a transaction must know of itself: its number, where it was given, and whether what was remembered still holds. As a function, because
  -- it is asked at every beginning, and is planned once.
  create function {s}.opened(out xid text, out timeline text, out life text, out removals text) language plpgsql as $$
  begin
    select pg_current_xact_id()::text, left(pg_walfile_name(pg_current_wal_lsn()), 8), (select l.life from {s}.server_life l),
      (select m.value from {s}.meta m where m.name = 'removals') into xid, timeline, life, removals;
  end
  $$;

  -- In a transaction that handlers write in, COMMIT is kept for Onefold: whoever else says it would commit effects without the proof that
  -- they were applied. COMMIT executes what a cursor WITH HOLD has left to do, and this one fails, which rolls all of it back. A
  -- cursor writes nothing, and is there whatever savepoint is rolled back to.
  create function {s}.refuse_commit() returns void language plpgsql as $$
  begin
    raise exception using errcode = '2D000',
      message = 'COMMIT is not for handlers: Onefold commits this transaction, together with the proof of what was applied';
  end
  $$;
  create function {s}.hold_commit() returns boolean language plpgsql as $$
  begin
    execute 'declare onefold_holds_commit no scroll cursor with hold for select {s}.refuse_commit()';
    return true;
  end
  $$;
  -- The last statement before COMMIT. Answers the transaction's number, and does nothing where that is another (null: none is open).
  create function {s}.free_commit(expected text) returns text language plpgsql as $$
  declare
    held refcursor := 'onefold_holds_commit';
    current constant text := pg_current_xact_id_if_assigned()::text;
  begin
    if current = expected then
      close held;
    end if;
    return current;
  end
  $$;

  -- Moves a checkpoint up, in the transaction of that number (null: in whichever this is), so that nothing is committed when a handler
  -- has ended that one.
  create function {s}.advance(wanted integer, wanted_partition text, reached bigint, more_applied bigint, more_suppressed bigint,
      expected text) returns boolean language plpgsql as $$
  begin
    if expected is not null and pg_current_xact_id_if_assigned()::text is distinct from expected then
      raise exception using errcode = '25P01', message = 'the transaction that this belongs to has ended';
    end if;
    insert into {s}.checkpoint as c (subscription, partition, "offset", applied, suppressed)
    values (wanted, wanted_partition, reached, more_applied, more_suppressed)
    on conflict (subscription, partition) do update set "offset" = greatest(c."offset", excluded."offset"),
      applied = c.applied + excluded.applied, suppressed = c.suppressed + excluded.suppressed;
    return true;
  end
  $$;

  -- Gives offsets to the committed messages of a partition that have none, in one commit, and answers the last offset given.
  -- What was written by a transaction that was still open at the last look (seen) is found at the first one after its commit,
  -- however late that is. Two at once take turns at the partition's row. relaxed: this commit need not be on disk before it is
  -- answered, since whatever builds on it commits to the same log after it.
  create function {s}.give_offsets(wanted integer, relaxed boolean) returns bigint language plpgsql
    set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_bitmapscan = off as $$
  declare
    known bigint;
    before pg_snapshot;
  begin
    select p.head, p.seen into known, before from {s}.partition p where p.partition = wanted;
    if not exists (select from {s}.log l where l.partition = wanted and l.xid >= pg_snapshot_xmax(before))
      and not exists (select from {s}.log l where l.partition = wanted and l.xid = any (array(select pg_snapshot_xip(before))))
    then
      return known;
    end if;
    -- A snapshot counts its own transaction neither as open nor as ended.
    if exists (select from {s}.log l where l.partition = wanted and l.xid = pg_current_xact_id_if_assigned()) then
      raise exception 'offsets are not given in a transaction that has published';
    end if;
    if relaxed then
      perform set_config('synchronous_commit', 'off', true);
    end if;
    select p.head, p.seen into known, before from {s}.partition p where p.partition = wanted for update;
    -- One statement, so that what it sees and the snapshot it keeps are the same.
    with found as (
      select l.message from {s}.log l where l.partition = wanted and l.xid >= pg_snapshot_xmax(before)
      union all
      select l.message from {s}.log l where l.partition = wanted and l.xid = any (array(select pg_snapshot_xip(before)))),
    fresh as materialized (select f.message, row_number() over (order by f.message) as n from found f),
    placed as (
      insert into {s}.log_position (partition, last, first, messages)
      select wanted, known + max(n), known + min(n), array_agg(message order by n) from fresh group by (n - 1) / 500)
    update {s}.partition p set head = known + (select count(*) from fresh), seen = pg_current_snapshot()
      where p.partition = wanted returning p.head into known;
    return known;
  end
  $$;

  -- The messages of a partition above an offset: at most so many, and about so many bytes. Offsets are given first where none is left.
  create function {s}.read_log(wanted integer, above bigint, most integer, most_bytes integer, relaxed boolean)
    returns table ("offset" bigint, source text, id text, sequence bigint, key text, type text, time_ms bigint, headers text, data text)
    language plpgsql set plan_cache_mode = force_generic_plan
    set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
  #variable_conflict use_column
  declare
    since bigint;
    known bigint;
  begin
    select greatest(above, p.tail), p.head into since, known from {s}.partition p where p.partition = wanted;
    if known <= since and {s}.give_offsets(wanted, relaxed) <= since then
      return;
    end if;
    return query
      select b."offset", b.source, b.id, b.sequence, b.key, b.type, b.time_ms, b.headers, b.data from (
        select o.first + m.n - 1 as "offset", l.source, l.id, l.sequence, l.key, l.type, l.time_ms, l.headers, l.data,
          sum(octet_length(l.data)) over (order by o.first + m.n) - octet_length(l.data) as before
        from {s}.log_position o cross join lateral unnest(o.messages) with ordinality m (message, n)
          join {s}.log l on l.message = m.message
        -- A place in log_position lists 500 messages at most.
        where o.partition = wanted and o.last > since and o.last < since + most + 500
          and o.first + m.n - 1 > since and o.first + m.n - 1 <= since + most) b
      where b.before < most_bytes order by b."offset";
  end
  $$;

  -- May messages whose identities have just been recorded (so many) go into the log? Not at once where the window has forgotten something
  -- and messages of the topic are parked or still to be delivered: the identities of those are known however long that takes.
  create function {s}.may_append(wanted integer, wanted_dedup integer, recorded bigint) returns boolean language plpgsql volatile as $$
  begin
    if not exists (select from {s}.dedup_window w where w.dedup = wanted_dedup and w.forgotten_ms is not null) then
      return true;
    end if;
    return not exists (select from {s}.schedule s where s.topic = wanted)
      and not exists (select from {s}.topic t join {s}.subscription u on u.topic = t.name
        join {s}.parked k on k.subscription = u.subscription where t.topic = wanted);
  end
  $$;

  -- Messages as rows. Columns are separated by U+001E, and of each column messages by a line break: neither stands in any text of a message.
  -- Empty: null. JSON would be half as long again, and take twice as long to read.
  create function {s}.rows_of(messages text) returns table (identity bytea, partition integer, source text, id text, sequence bigint, key text,
      type text, time_ms bigint, headers text, data text, n bigint) language sql immutable as $$
    select decode(r.identity, 'hex'), r.partition, r.source, r.id, r.sequence, r.key, r.type, r.time_ms, r.headers, r.data, r.n
    from (select string_to_array(messages, E'\\x1e') as columns offset 0) c cross join lateral unnest(string_to_array(c.columns[1], E'\\n', ''),
      string_to_array(c.columns[2], E'\\n', '')::integer[], string_to_array(c.columns[3], E'\\n', ''), string_to_array(c.columns[4], E'\\n', ''),
      string_to_array(c.columns[5], E'\\n', '')::bigint[], string_to_array(c.columns[6], E'\\n', ''), string_to_array(c.columns[7], E'\\n', ''),
      string_to_array(c.columns[8], E'\\n', '')::bigint[], string_to_array(c.columns[9], E'\\n', ''), string_to_array(c.columns[10], E'\\n', ''))
      with ordinality as r (identity, partition, source, id, sequence, key, type, time_ms, headers, data, n)
  $$;

  -- Records the identities of messages, and puts those into the log that were new: in one statement, and one text for both. A message
  -- without identity has been looked up already; one without partition is for later. Nothing is put into the log where the
  -- topic has another number of partitions than the caller knows of, or where may_append says no.
  -- recorded: how many identities were new; fresh: which messages (from 1), null when all; written: how many are in the log.
  --
  -- What is known already is looked up first, as a hint: whether an identity is new is decided by its index, here by a violation. Then
  -- somebody else was just writing one of them, and each row is asked for its place (on conflict), which costs a third more.
  create function {s}.append(wanted integer, known integer, wanted_dedup integer, messages text, receipt bigint,
      out recorded bigint, out fresh text, out written bigint) language plpgsql
    set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_bitmapscan = off as $$
  #variable_conflict use_column
  begin
    -- Who changes the number of partitions locks the log: what follows sees the number of before, and is waited for, or that of after.
    lock table {s}.log in row exclusive mode;
    begin
      with r as materialized (
          select r.*, (select true from {s}.identity i where i.dedup = wanted_dedup and i.source = r.source collate "C"
            and i.key = r.identity limit 1) is not null as seen from {s}.rows_of(messages) r),
        -- In the order of the index, so that two batches wait for each other and never in a circle.
        taken as (
          insert into {s}.identity (dedup, source, key, body, generation, time_ms)
          select w.dedup, r.source, r.identity, substring(sha256(convert_to(r.data, 'UTF8')) for 16), w.current, r.time_ms
          from {s}.dedup_window w, r where w.dedup = wanted_dedup and r.identity is not null and not r.seen
          order by r.source collate "C", r.identity returning 1),
        counted as materialized (select count(*) as n from taken),
        -- Asked once all are in: this statement may have waited for its place meanwhile.
        asked as materialized (
          select wanted_dedup is null or {s}.may_append(wanted, wanted_dedup, c.n) as may from counted c),
        put as (
          insert into {s}.log (partition, source, id, sequence, key, type, time_ms, headers, data, receipt)
          select r.partition, r.source, r.id, r.sequence, r.key, r.type, r.time_ms, r.headers, r.data, receipt from asked a, {s}.topic t, r
          where a.may and t.topic = wanted and t.partitions = known and r.partition is not null and not r.seen
          order by r.n returning 1)
      select c.n, (select coalesce(string_agg(r.n::text, ',') filter (where r.identity is not null and not r.seen), '')
          from r having bool_or(r.seen)), (select count(*) from put)
        into recorded, fresh, written from counted c;
    exception when unique_violation then
      select a.recorded, a.fresh, a.written into recorded, fresh, written
        from {s}.append_contended(wanted, known, wanted_dedup, messages, receipt) a;
    end;
  end
  $$;

  -- The same where others are writing some of these identities at this moment: waits for them, row by row.
  create function {s}.append_contended(wanted integer, known integer, wanted_dedup integer, messages text, receipt bigint,
      out recorded bigint, out fresh text, out written bigint) language plpgsql set plan_cache_mode = force_generic_plan as $$
  #variable_conflict use_column
  begin
    with r as materialized (select r.* from {s}.rows_of(messages) r),
      taken as (
        insert into {s}.identity as i (dedup, source, key, body, generation, time_ms)
        select w.dedup, r.source, r.identity, substring(sha256(convert_to(r.data, 'UTF8')) for 16), w.current, r.time_ms
        from {s}.dedup_window w, r where w.dedup = wanted_dedup and r.identity is not null
        order by r.source collate "C", r.identity on conflict do nothing returning i.source, i.key),
      counted as materialized (
        select c.n, c.n = (select count(*) from r where r.identity is not null) as all_new from (select count(*) as n from taken) c),
      asked as materialized (
        select wanted_dedup is null or {s}.may_append(wanted, wanted_dedup, c.n) as may from counted c),
      put as (
        insert into {s}.log (partition, source, id, sequence, key, type, time_ms, headers, data, receipt)
        select r.partition, r.source, r.id, r.sequence, r.key, r.type, r.time_ms, r.headers, r.data, receipt from asked a, {s}.topic t, r
        where a.may and t.topic = wanted and t.partitions = known and r.partition is not null
          and (r.identity is null or (select c.all_new from counted c)
            or (r.source collate "C", r.identity) in (select k.source, k.key from taken k))
        order by r.n returning 1)
    select c.n, case when not c.all_new then (
        select coalesce(string_agg(r.n::text, ','), '') from r
        where (r.source collate "C", r.identity) in (select k.source, k.key from taken k)) end,
      (select count(*) from put)
      into recorded, fresh, written from counted c;
  end
  $$;

  -- append as a transaction of its own: what a program publishes by itself, in one call. All messages have an identity and a partition;
  -- count: how many there are; others: repeats that are not among them. nameless: this life of the server has no name yet. Raises OF001, and nothing is written, where more has to be looked
  -- into, or where something was removed of which the caller remembers numbers.
  create function {s}.publish(wanted integer, known integer, wanted_dedup integer, removals text, messages text, receipt bigint,
      count integer, others integer, out fresh text, out nameless boolean) language plpgsql set plan_cache_mode = force_generic_plan as $$
  declare
    recorded bigint;
    written bigint;
  begin
    select a.recorded, a.fresh, a.written into recorded, publish.fresh, written
      from {s}.append(wanted, known, wanted_dedup, messages, receipt) a;
    if written <> recorded or (select m.value from {s}.meta m where m.name = 'removals') is distinct from publish.removals then
      raise exception using errcode = 'OF001', message = 'published in a transaction of several statements';
    end if;
    nameless := not exists (select from {s}.server_life);
    if recorded <> publish.count + others then
      insert into {s}.duplicate (topic, count) values (wanted, publish.count + others - recorded);
    end if;
  end
  $$;
  `,
]
