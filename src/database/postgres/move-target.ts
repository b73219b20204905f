import { OnefoldError } from '../../errors.ts'
import type { ColumnType, CopyProgress, MovedPage, MovedRow, MovedTable, MoveTarget, TargetMark } from '../../move/move-store.ts'
import { movedSettings, movedTables } from '../../move/move-store.ts'
import { parseJson } from '../../parse-json.ts'
import type { Runtime } from '../../runtime.ts'
import type { Execute, PostgresClient } from './client.ts'
import { explainError } from './errors.ts'
import { migrate } from './migrate.ts'
import { targetMark } from './move-mark.ts'
import { checkServer } from './open-server.ts'
import type { CheckedOptions } from './options.ts'
import { checkedOptions } from './options.ts'
import type { PgPool } from './pg-client.ts'
import { migrations } from './schema.ts'
import { textOf } from './sql.ts'

/** Rows fetched at a time when the copy is read again. */
const fetchRows = 1_000
/** Messages that one row of `log_position` lists. */
const placeMessages = 500
/**
 * Copied messages have been seen by every look for new ones, now and after a restore on any server: normal transactions count
 * from 3.
 */
const frozen = '2'

const createTable = /create table \{s\}\.(\w+)/g
/** All tables of Onefold, and none of the user's that may lie beside them. */
export const ownTables: readonly string[] = migrations.flatMap((sql) =>
  [...sql.matchAll(createTable)].map((match) => match[1] as string),
)

/** How a column enters and leaves: `json_to_recordset` reads every value from text. */
const types: Readonly<Record<ColumnType, { readonly json: string; in(name: string): string; out(name: string): string }>> = {
  integer: { json: 'bigint', in: (name) => name, out: (name) => `${name}::text` },
  text: { json: 'text', in: (name) => name, out: (name) => name },
  prose: { json: 'text', in: (name) => name, out: (name) => name },
  boolean: { json: 'boolean', in: (name) => name, out: (name) => `${name}::text` },
  bytes: { json: 'text', in: (name) => `decode(${name}, 'hex')`, out: (name) => `encode(${name}, 'hex')` },
}

/** @throws OnefoldError `OPTION_INVALID` naming the option. */
export function moveTargetOn(pool: PgPool, { schema, runtime }: { schema: string; runtime: Runtime }): PostgresMoveTarget {
  return new PostgresMoveTarget(checkedOptions(pool, { schema, migrations: 'apply' }), runtime)
}

/** The tables of a schema that something is moved to. Until it is activated a trigger keeps everybody else from writing there. */
export class PostgresMoveTarget implements MoveTarget {
  readonly where: string
  readonly #client: PostgresClient
  readonly #schema: string
  readonly #runtime: Runtime
  readonly #options: CheckedOptions<unknown>

  constructor(options: CheckedOptions<unknown>, runtime: Runtime) {
    this.#options = options
    this.#client = options.client(runtime)
    this.#schema = options.schema
    this.#runtime = runtime
    this.where = `${this.#client.where}, schema ${options.schema.replaceAll('"', '')}`
  }

  async mark(): Promise<TargetMark | undefined> {
    const [row] = await this.#tried(() =>
      this.#client.execute('select to_regclass($1) is not null as there', [`${this.#schema}.meta`]),
    )
    if (row?.there !== true) return undefined
    return this.#tried(() => targetMark(this.#client.execute, this.#schema))
  }

  async reserve(mark: Omit<TargetMark, 'state'>): Promise<TargetMark> {
    const { where } = this
    await this.#tried(() => checkServer(this.#client, this.#options))
    const connection = await this.#tried(() => this.#client.connect())
    try {
      await this.#tried(() => migrate(connection, this.#schema, this.#runtime, where))
    } finally {
      connection.release(false)
    }
    return this.#transaction(mark.id, async (execute) => {
      await execute(`lock table ${this.#schema}.meta in share row exclusive mode`)
      const there = await targetMark(execute, this.#schema)
      if (there !== undefined && there.state !== 'activated') return there
      // Creating the triggers waits for whoever is writing; what is found empty after that stays so.
      await this.#refuseOthers(execute, mark.id)
      const looks = ownTables
        .filter((name) => name !== 'meta')
        .map((name) => `select '${name}' as name where exists (select from ${this.#table(name)})`)
      const full = (await execute(looks.join(' union all '))).map(({ name }) => textOf(name))
      if (full.length > 0) {
        throw new OnefoldError(
          'NOT_POSSIBLE',
          `database ${where}: its tables of Onefold are not empty (${full.join(', ')}), and a move needs empty ones. Name another schema with --schema, or another database; nothing was changed.`,
          { details: { database: where, tables: full.join(', ') } },
        )
      }
      const reserved: TargetMark = { ...mark, state: 'copying' }
      await this.#write(execute, 'move', reserved)
      for (const { name } of movedTables) await this.#write(execute, `move:${name}`, { rows: 0, done: false })
      return reserved
    })
  }

  append(id: string, table: MovedTable, next: (progress: CopyProgress) => MovedPage | Promise<MovedPage>): Promise<CopyProgress> {
    return this.#transaction(id, async (execute) => {
      // The mark first, and shared: whoever gives the move up, or finishes it, waits for us, and we find what became of it.
      await this.#assert(execute, id, ['copying', 'copied'], 'for share')
      const progress = await this.#progress(execute, table)
      if (progress.done) return progress
      const page = await next(progress)
      await this.#insert(execute, table, page.rows, progress.rows)
      const after = { rows: progress.rows + page.rows.length, after: page.after, done: page.last }
      await this.#write(execute, `move:${table.name}`, after)
      await this.#runtime.reached?.('move:copying')
      return after
    })
  }

  finish(id: string, numbers: ReadonlyMap<string, bigint>): Promise<void> {
    return this.#transaction(id, async (execute) => {
      const mark = await this.#assert(execute, id, ['copying', 'copied'], 'for update')
      if (mark.state === 'copied') return
      for (const table of movedTables) {
        if (!(await this.#progress(execute, table)).done) throw new Error(`table ${table.name} has not been copied to its end`)
      }
      await this.#setNumbers(execute, numbers)
      await execute(`analyze ${ownTables.map((name) => this.#table(name)).join(', ')}`)
      await this.#write(execute, 'move', { ...mark, state: 'copied' })
    })
  }

  async *rows(table: MovedTable): AsyncIterable<readonly MovedRow[]> {
    const connection = await this.#tried(() => this.#client.connect())
    let broken = true
    try {
      await connection.begin([], `declare moved no scroll cursor for ${selectOf(table, this.#schema)}`)
      for (;;) {
        const rows = await connection.execute(`fetch ${fetchRows} from moved`)
        if (rows.length > 0) yield rows.map((row) => table.columns.map(([name]) => (row[name] ?? null) as string | null))
        if (rows.length < fetchRows) break
      }
      broken = !(await connection.commit())
    } catch (error) {
      throw explainError(error, this.where)
    } finally {
      connection.release(broken)
    }
  }

  activate(id: string): Promise<void> {
    return this.#transaction(id, async (execute) => {
      const mark = await this.#assert(execute, id, ['copied', 'activated'], 'for update')
      if (mark.state === 'activated') return
      await this.#allowOthers(execute)
      await execute(`delete from ${this.#schema}.meta where name like 'move:%'`)
      await this.#write(execute, 'move', { ...mark, state: 'activated' })
    })
  }

  throwAway(id: string): Promise<void> {
    return this.#transaction(id, async (execute) => {
      await this.#assert(execute, id, ['copying', 'copied'], 'for update')
      const tables = ownTables.filter((name) => name !== 'meta')
      await execute(`truncate ${tables.map((name) => this.#table(name)).join(', ')} restart identity`)
      const settings = movedSettings.map((name) => `'${name}'`).join(', ')
      await execute(`delete from ${this.#schema}.meta where name = 'move' or name like 'move:%' or name in (${settings})`)
      await this.#allowOthers(execute)
    })
  }

  async #assert(
    execute: Execute,
    id: string,
    states: readonly TargetMark['state'][],
    lock: 'for share' | 'for update',
  ): Promise<TargetMark> {
    const mark = await targetMark(execute, this.#schema, lock)
    if (mark?.id === id && states.includes(mark.state)) return mark
    throw new OnefoldError(
      'NOT_POSSIBLE',
      `database ${this.where}: ${mark?.id === id ? `the move here is ${mark.state} already` : 'the move here was given up, or is another one'}; look with \`onefold move\` again.`,
      { details: { database: this.where, state: mark?.state ?? 'none' } },
    )
  }

  async #progress(execute: Execute, { name }: MovedTable): Promise<CopyProgress> {
    const [row] = await execute(`select value from ${this.#schema}.meta where name = $1 for update`, [`move:${name}`])
    // JSON leaves out what is undefined.
    return parseJson(textOf(row?.value)) as CopyProgress
  }

  async #insert(execute: Execute, table: MovedTable, rows: readonly MovedRow[], before: number): Promise<void> {
    if (rows.length === 0) return
    const names = table.columns.map(([name]) => name)
    const records = rows.map((row) => Object.fromEntries(names.map((name, index) => [name, row[index] ?? null])))
    const given = table.columns.map(([name, type]) => `"${name}" ${types[type].json}`)
    if (table.name === 'log') return this.#insertLog(execute, records, given, before)
    const into = names.map((name) => `"${name}"`).join(', ')
    const values = table.columns.map(([name, type]) => types[type].in(`r."${name}"`)).join(', ')
    // Of `meta` only: nothing else has rows yet.
    const conflict = table.name === 'meta' ? 'on conflict (name) do update set value = excluded.value' : ''
    await execute(
      `insert into ${this.#table(table.name)} (${into}) overriding system value
       select ${values} from json_to_recordset($1::json) as r (${given.join(', ')}) ${conflict}`,
      [JSON.stringify(records)],
    )
  }

  /** Messages get dense numbers in the order of partitions and offsets; places list them as they are listed when they are new. */
  async #insertLog(
    execute: Execute,
    records: readonly Readonly<Record<string, string | null>>[],
    given: readonly string[],
    before: number,
  ): Promise<void> {
    const numbered = records.map((record, index) => ({ message: before + index + 1, ...record }))
    await execute(
      `insert into ${this.#table('log')} (message, partition, xid, source, id, sequence, key, type, time_ms, headers, data)
       overriding system value
       select r.message, r.partition, '${frozen}'::xid8, r.source, r.id, r.sequence, r.key, r.type, r.time_ms, r.headers, r.data
       from json_to_recordset($1::json) as r (message bigint, ${given.join(', ')})`,
      [JSON.stringify(numbered)],
    )
    const places: Place[] = []
    for (const { partition, offset, message } of numbered as unknown as {
      partition: string
      offset: string
      message: number
    }[]) {
      const place = places.at(-1)
      const number = Number(offset)
      if (place?.partition === partition && place.last === number - 1 && place.to - place.from + 1 < placeMessages) {
        place.last = number
        place.to = message
      } else places.push({ partition, first: number, last: number, from: message, to: message })
    }
    await execute(
      `insert into ${this.#table('log_position')} (partition, first, last, messages)
       select r.partition, r.first, r.last, array(select generate_series(r."from", r."to"))
       from json_to_recordset($1::json) as r (partition bigint, first bigint, last bigint, "from" bigint, "to" bigint)`,
      [JSON.stringify(places)],
    )
  }

  /** Numbers that a column gives go on beyond those it holds, those that refer to it, and those given to rows that are gone. */
  async #setNumbers(execute: Execute, given: ReadonlyMap<string, bigint>): Promise<void> {
    const columns = await execute(
      `select c.relname as name, a.attname as column, pg_get_serial_sequence(quote_ident(n.nspname) || '.' || quote_ident(c.relname), a.attname) as numbers
       from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
       where a.attidentity <> '' and c.relkind = 'r' and quote_ident(n.nspname) = quote_ident($1::text)`,
      [this.#schema.replaceAll('"', '')],
    )
    const references: Readonly<Record<string, string>> = {
      parked: `select max(parked) from ${this.#table('attention')}`,
      generation: `select max(generation) from ${this.#table('call')}`,
    }
    for (const { name, column, numbers } of columns) {
      const table = textOf(name)
      if (!ownTables.includes(table)) continue
      await execute(
        `select setval($1::text::regclass, n) from (
           select greatest((select max("${textOf(column)}") from ${this.#table(table)}), $2::bigint, (${references[table] ?? 'null'})) as n) g
         where n > 0`,
        [textOf(numbers), (given.get(table) ?? 0n).toString()],
      )
    }
  }

  async #refuseOthers(execute: Execute, id: string): Promise<void> {
    await execute(
      `create or replace function ${this.#schema}.refuse_before_activation() returns trigger language plpgsql as $$
       begin
         if current_setting('onefold.move', true) is distinct from tg_argv[0] then
           raise exception 'tables of Onefold are being moved here (onefold move); nothing else may write to them before that is activated'
             using errcode = 'object_not_in_prerequisite_state';
         end if;
         return null;
       end
       $$`,
    )
    const triggers = ownTables.map(
      (name) => `create trigger before_activation before insert or update or delete or truncate on ${this.#table(name)}
        for each statement execute function ${this.#schema}.refuse_before_activation('${id}');`,
    )
    await execute(triggers.join('\n'))
  }

  async #allowOthers(execute: Execute): Promise<void> {
    const triggers = ownTables.map((name) => `drop trigger if exists before_activation on ${this.#table(name)};`)
    await execute(`${triggers.join('\n')} drop function if exists ${this.#schema}.refuse_before_activation()`)
  }

  async #write(execute: Execute, name: string, value: object): Promise<void> {
    await execute(
      `insert into ${this.#schema}.meta (name, value) values ($1, $2) on conflict (name) do update set value = excluded.value`,
      [name, JSON.stringify(value)],
    )
  }

  #table(name: string): string {
    return `${this.#schema}."${name}"`
  }

  /** A COMMIT whose answer is lost is an error like any other: what comes after looks how far the copy has come. */
  async #transaction<R>(id: string, work: (execute: Execute) => Promise<R>): Promise<R> {
    const connection = await this.#tried(() => this.#client.connect())
    let broken = true
    try {
      await connection.begin([`onefold.move = '${id}'`], 'select 1')
      const result = await work(connection.execute)
      if (!(await connection.commit())) throw new Error('the server has rolled the transaction back')
      broken = false
      return result
    } catch (error) {
      await connection.execute('rollback').then(
        () => (broken = false),
        () => undefined,
      )
      throw explainError(error, this.where)
    } finally {
      connection.release(broken)
    }
  }

  async #tried<R>(work: () => Promise<R>): Promise<R> {
    try {
      return await work()
    } catch (error) {
      throw explainError(error, this.where)
    }
  }
}

interface Place {
  readonly partition: string
  readonly first: number
  last: number
  readonly from: number
  to: number
}

function selectOf(table: MovedTable, schema: string): string {
  if (table.name === 'log') {
    const columns = table.columns.map(([name, type]) =>
      name === 'offset' ? 'o."offset"::text as "offset"' : `${types[type].out(`l."${name}"`)} as "${name}"`,
    )
    return `select ${columns.join(', ')} from ${schema}.log l left join (
      select m.message, q.first + m.n - 1 as "offset" from ${schema}.log_position q
      cross join lateral unnest(q.messages) with ordinality m (message, n)) o on o.message = l.message`
  }
  const columns = table.columns.map(([name, type]) => `${types[type].out(`"${name}"`)} as "${name}"`)
  const settings = movedSettings.map((name) => `'${name}'`).join(', ')
  return `select ${columns.join(', ')} from ${schema}."${table.name}"${table.name === 'meta' ? ` where name in (${settings})` : ''}`
}
