import { migrate } from '../../database/postgres/migrate.ts'
import type { PgPool } from '../../database/postgres/pg-client.ts'
import { PgPoolClient } from '../../database/postgres/pg-client.ts'
import { OnefoldError, optionInvalid } from '../../errors.ts'
import type { Runtime } from '../../runtime.ts'

export interface PgAnswer {
  readonly command: string
  readonly rows: Record<string, unknown>[]
  readonly rowCount: number | null
}

/** A client of `pg`, as far as it is used. */
export interface PgConnected {
  readonly processID: number
  connect(): Promise<unknown>
  end(): Promise<void>
  query(...given: unknown[]): Promise<PgAnswer>
  on(event: 'error', listener: () => void): unknown
}

/** The pool that the app was given: of its library only the class of its clients is used. */
export interface PgLibrary {
  readonly Client: new (options: unknown) => PgConnected
  readonly options?: { readonly types?: unknown }
}

const prefix = 'onefold_prove_'
const names = new Map<string, string>()

export function textOf(statement: unknown): string {
  if (typeof statement === 'string') return statement
  const { text } = (statement ?? {}) as { text?: unknown }
  return typeof text === 'string' ? text : ''
}

/** A statement of ours, which are few: planned once on each connection. The user's are executed as they come. */
export function planned(text: string, values: readonly unknown[] = []): unknown {
  const name = names.get(text) ?? `onefold_${names.size}`
  names.set(text, name)
  return { name, text, values }
}

/**
 * An empty database of its own on a server for tests, with Onefold's tables in it. It is dropped by `close`, and touches no other
 * database. Commits do not wait for the disk: what a power cut leaves is not what is looked at. What a killed process has left
 * there is dropped by the next one.
 */
export class ScratchDatabase {
  readonly version: string
  readonly superuser: boolean
  readonly name: string
  readonly #url: URL
  readonly #library: PgLibrary
  readonly #admin: PgConnected
  readonly #open = new Set<PgConnected>()

  private constructor(library: PgLibrary, url: URL, admin: PgConnected, name: string, row: Record<string, unknown>) {
    this.#library = library
    this.#url = url
    this.#admin = admin
    this.name = name
    this.version = `PostgreSQL ${String(row.version).split(' ')[0]}`
    this.superuser = row.superuser === 'on'
  }

  /** @throws OnefoldError `OPTION_INVALID` and `NOT_POSSIBLE`, both naming the option. */
  static async make(library: PgLibrary, given: string, schema: string, runtime: Runtime): Promise<ScratchDatabase> {
    const url = urlOf(given)
    const admin = new library.Client({ connectionString: url.href })
    admin.on('error', () => undefined)
    let server: Record<string, unknown> | undefined
    try {
      await admin.connect()
      const answer = await admin.query(
        `select current_setting('server_version') as version, current_setting('is_superuser') as superuser,
           (select oid from pg_database where datname = current_database()) as admin`,
      )
      server = answer.rows[0]
    } catch (error) {
      await admin.end().catch(() => undefined)
      throw cannot(`the server at ${shown(url)} cannot be reached`, error)
    }
    // Locks are of the database that is connected to: only who was here can say that its own is not needed any more.
    const family = `${prefix}${String(server?.admin)}_`
    const name = family + runtime.uuid().replaceAll('-', '')
    try {
      await dropAbandoned(admin, family)
      await admin.query(`select pg_advisory_lock(${lockOf(name)})`)
      await admin.query(`create database ${name}`)
    } catch (error) {
      await admin.end().catch(() => undefined)
      throw cannot(`no database of its own can be made at ${shown(url)}, which needs a role that may create databases`, error)
    }
    const made = new ScratchDatabase(library, url, admin, name, server ?? {})
    try {
      for (const setting of ['synchronous_commit = off', 'jit = off']) await admin.query(`alter database ${name} set ${setting}`)
      await made.#makeTables(schema, runtime)
      return made
    } catch (error) {
      await made.close()
      throw error
    }
  }

  async #makeTables(schema: string, runtime: Runtime): Promise<void> {
    const client = await this.connect()
    const pool = { options: { connectionString: this.url }, totalCount: 1, on: () => undefined, query: client.query.bind(client) }
    const connect = async (): Promise<unknown> => Object.assign(client, { off: () => undefined, release: () => undefined })
    const connection = await new PgPoolClient({ ...pool, connect } as unknown as PgPool, runtime, { prepare: false }).connect()
    await migrate(connection, schema, runtime, shown(this.#url))
    await this.end(client)
  }

  get url(): string {
    const url = new URL(this.#url)
    url.pathname = `/${this.name}`
    return url.href
  }

  /** One more connection to it. */
  async connect(): Promise<PgConnected> {
    const { types } = this.#library.options ?? {}
    const client = new this.#library.Client({ connectionString: this.url, ...(types === undefined ? {} : { types }) })
    // The statement that is under way fails, and that is enough.
    client.on('error', () => undefined)
    await client.connect()
    this.#open.add(client)
    return client
  }

  async end(client: PgConnected): Promise<void> {
    this.#open.delete(client)
    await client.end().catch(() => undefined)
  }

  /** Nothing is left of it. */
  async close(): Promise<void> {
    try {
      await Promise.all([...this.#open].map((client) => this.end(client)))
      await this.#admin.query(`drop database if exists ${this.name} with (force)`)
    } catch (error) {
      throw cannot(`database ${this.name} at ${shown(this.#url)} is no longer needed, and could not be dropped`, error)
    } finally {
      await this.#admin.end().catch(() => undefined)
    }
  }
}

/** Held, by the session that made it, for as long as the database is needed. */
const lockOf = (name: string): string => `hashtextextended('${name}', 0)`

/** What was made by a process that has been killed since: its session is gone, and with it the lock. */
async function dropAbandoned(admin: PgConnected, family: string): Promise<void> {
  const { rows } = await admin.query('select datname from pg_database where starts_with(datname, $1)', [family])
  for (const { datname } of rows) {
    const name = String(datname)
    const { rows: taken } = await admin.query(`select pg_try_advisory_lock(${lockOf(name)}) as taken`)
    if (taken[0]?.taken !== true) continue
    // Somebody else may be dropping it as well, or may be connected without being us.
    await admin.query(`drop database if exists ${name}`).catch(() => undefined)
    await admin.query(`select pg_advisory_unlock(${lockOf(name)})`)
  }
}

function urlOf(given: string): URL {
  const url = URL.canParse(given) ? new URL(given) : undefined
  if (url === undefined || !/^postgres(ql)?:$/.test(url.protocol))
    throw optionInvalid('postgres', given, 'the URL of a PostgreSQL server for tests: postgres://user@host:5432/database')
  return url
}

const shown = (url: URL): string => `${url.hostname || 'localhost'}:${url.port || 5432}`

function cannot(what: string, cause: unknown): OnefoldError {
  return new OnefoldError('NOT_POSSIBLE', `postgres: ${what} (${(cause as Error)?.message ?? String(cause)}).`, {
    cause,
    details: { option: 'postgres' },
  })
}
