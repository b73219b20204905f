/**
 * A PostgreSQL server of the project's own: real, on this machine, for the tests, the torture and the bench.
 *
 *   node scripts/engines/postgres.ts start|stop|kill|url [FOLDER]
 *
 * `start` prints the URL, also when the server is running already; `kill` ends it as a crash does. FOLDER (by default `postgres`
 * in $ONEFOLD_DEV, or in the system's temporary folder) holds all of it: data, log, socket, and the port it was given.
 */
import { execFile } from 'node:child_process'
import { chownSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { freePort, isFree } from './free-port.ts'

export interface PostgresServer {
  readonly url: string
  readonly port: number
  readonly folder: string
  /** Ends it in good order, and removes a folder that was made for it. */
  stop(): Promise<void>
  /** Ends it as a crash does: nothing is written to the tables' files any more, the next start recovers from the log. */
  crash(): Promise<void>
  /** Starts it again on the same data and the same port; first ends it in good order if it is running. */
  restart(): Promise<void>
}

export interface PostgresOptions {
  /** Default: a new one below the system's temporary folder, gone after `stop`. */
  readonly folder?: string
  /** Parameters as in postgresql.conf, beyond the project's own. They hold until the next start that gives others. */
  readonly settings?: Readonly<Record<string, string | number | boolean>>
}

export const installHint =
  'PostgreSQL is not installed: as root, `RUNLEVEL=1 apt-get install -y --no-install-recommends postgresql` (Debian, Ubuntu); ' +
  'elsewhere have `pg_ctl` and `initdb` on the PATH'

const settings: PostgresOptions['settings'] = {
  listen_addresses: '127.0.0.1',
  max_connections: 200,
  fsync: true,
  synchronous_commit: true,
  wal_level: 'logical',
}
const user = 'onefold'
const startWithinSeconds = 30
const stopWithinSeconds = 30
/** A unix socket's path has 107 bytes: https://www.man7.org/linux/man-pages/man7/unix.7.html */
const maxFolderBytes = 107 - '/.s.PGSQL.32767'.length

/** The folder of the newest PostgreSQL programs; undefined where there are none. */
export function postgresPrograms(debian = '/usr/lib/postgresql'): string | undefined {
  const versions = existsSync(debian) ? readdirSync(debian) : []
  const newestFirst = versions
    .toSorted((left, right) => Number(right) - Number(left))
    .map((version) => join(debian, version, 'bin'))
  const places = [...newestFirst, ...(process.env.PATH ?? '').split(delimiter)]
  return places.find((place) => existsSync(join(place, 'pg_ctl')) && existsSync(join(place, 'initdb')))
}

/** Starts a server, or finds it running, and resolves when it takes connections. Several may run beside each other. */
export async function startPostgres(options: PostgresOptions = {}): Promise<PostgresServer> {
  const own = options.folder === undefined
  const server = await Server.at(options.folder ?? mkdtempSync(join(tmpdir(), 'onefold-postgres-')))
  const remove = (): void => {
    if (own) rmSync(server.folder, { recursive: true, force: true })
  }
  try {
    await server.start(options.settings)
  } catch (error) {
    remove()
    throw error
  }
  const { folder, port, url } = server
  return {
    folder,
    port,
    url,
    async stop() {
      await server.end('fast')
      remove()
    },
    crash: () => server.end('immediate'),
    async restart() {
      await server.end('fast')
      await server.start(options.settings, port)
    },
  }
}

class Server {
  readonly folder: string
  readonly #programs: string
  readonly #account: { readonly uid?: number; readonly gid?: number }

  static async at(folder: string): Promise<Server> {
    const programs = postgresPrograms()
    if (programs === undefined) throw new Error(installHint)
    return new Server(resolve(folder), programs, await accountToRunAs())
  }

  private constructor(folder: string, programs: string, account: { uid?: number; gid?: number }) {
    this.folder = folder
    this.#programs = programs
    this.#account = account
  }

  get port(): number {
    const port = existsSync(this.#settingsFile)
      ? /^port = (\d+)$/m.exec(readFileSync(this.#settingsFile, 'utf8'))?.[1]
      : undefined
    if (port === undefined) throw new Error(`no PostgreSQL server was ever started in ${this.folder}`)
    return Number(port)
  }

  get url(): string {
    return `postgres://${user}@127.0.0.1:${this.port}/postgres`
  }

  /** With `port` on that one or not at all; else on the one it had last if that is free, or on another. */
  async start(wanted: PostgresOptions['settings'], port?: number): Promise<void> {
    if (Buffer.byteLength(this.folder) > maxFolderBytes)
      throw new Error(
        `${this.folder}: its name is too long for the socket in it; give a folder of at most ${maxFolderBytes} bytes`,
      )
    mkdirSync(this.folder, { recursive: true })
    this.#handOver(this.folder)
    if (!existsSync(join(this.#data, 'PG_VERSION'))) await this.#initialize()
    if (await this.isRunning()) return

    for (let turn = 1; ; turn++) {
      this.#configure({ ...settings, ...wanted, port: port ?? (await this.#choosePort()) })
      try {
        return await this.#control('start', '-l', this.#log, '-t', `${startWithinSeconds}`)
      } catch (error) {
        // Another server may have taken the port since it was seen to be free.
        const taken = port === undefined && turn < 5 && !(await isFree(this.port))
        if (!taken) throw new Error(`${(error as Error).message}\n${lastLines(this.#log)}`, { cause: error })
      }
    }
  }

  async end(mode: 'fast' | 'immediate'): Promise<void> {
    if (await this.isRunning()) await this.#control('stop', '-m', mode, '-t', `${stopWithinSeconds}`)
  }

  async isRunning(): Promise<boolean> {
    if (!existsSync(join(this.#data, 'postmaster.pid'))) return false
    try {
      await this.#control('status')
      return true
    } catch (error) {
      // 3: https://www.postgresql.org/docs/current/app-pg-ctl.html
      if ((error as { cause?: { code?: unknown } }).cause?.code === 3) return false
      throw error
    }
  }

  /** What a power cut could do to a new server's files is of no interest; what it does to commits is. */
  async #initialize(): Promise<void> {
    await this.#run('initdb', '-D', this.#data, '-U', user, '-A', 'trust', '-E', 'UTF8', '--locale=C.UTF-8', '--no-sync')
    writeFileSync(join(this.#data, 'postgresql.conf'), "\ninclude 'onefold.conf'\n", { flag: 'a' })
  }

  #configure(values: NonNullable<PostgresOptions['settings']>): void {
    const lines = Object.entries({ ...values, unix_socket_directories: this.folder }).map(([name, value]) => {
      const text = typeof value === 'boolean' ? (value ? 'on' : 'off') : value
      return `${name} = ${typeof value === 'number' ? text : `'${`${text}`.replaceAll("'", "''")}'`}\n`
    })
    writeFileSync(this.#settingsFile, lines.join(''))
    this.#handOver(this.#settingsFile)
  }

  async #choosePort(): Promise<number> {
    const last = existsSync(this.#settingsFile) ? this.port : undefined
    return last !== undefined && (await isFree(last)) ? last : freePort()
  }

  #handOver(path: string): void {
    if (this.#account.uid !== undefined && this.#account.gid !== undefined) chownSync(path, this.#account.uid, this.#account.gid)
  }

  get #data(): string {
    return join(this.folder, 'data')
  }

  get #log(): string {
    return join(this.folder, 'log')
  }

  get #settingsFile(): string {
    return join(this.#data, 'onefold.conf')
  }

  #control(command: string, ...args: string[]): Promise<void> {
    return this.#run('pg_ctl', command, '-D', this.#data, '-w', ...args)
  }

  /** pg_ctl gives the server a session of its own: neither a Ctrl-C nor the end of this process reaches it. */
  async #run(program: string, ...args: string[]): Promise<void> {
    try {
      await promisify(execFile)(join(this.#programs, program), args, { cwd: this.folder, ...this.#account })
    } catch (error) {
      const { stderr = '', stdout = '' } = error as { stderr?: string; stdout?: string }
      const said = `${stderr}${stdout}`.trim()
      throw new Error(`${program} ${args[0]} in ${this.folder}: ${said === '' ? (error as Error).message : said}`, {
        cause: error,
      })
    }
  }
}

/** PostgreSQL refuses to run as root: there it runs as the user that its package made. */
async function accountToRunAs(): Promise<{ uid?: number; gid?: number }> {
  if (process.getuid?.() !== 0) return {}
  const id = async (flag: string): Promise<number> => Number((await promisify(execFile)('id', [flag, 'postgres'])).stdout)
  return { uid: await id('-u'), gid: await id('-g') }
}

function lastLines(file: string): string {
  return existsSync(file) ? readFileSync(file, 'utf8').trimEnd().split('\n').slice(-8).join('\n') : ''
}

async function main(command: string | undefined, folder: string): Promise<void> {
  if (command === 'start') return console.log((await startPostgres({ folder })).url)
  const server = await Server.at(folder)
  if (command === 'stop') return server.end('fast')
  if (command === 'kill') return server.end('immediate')
  if (command !== 'url') throw new Error('usage: postgres.ts start|stop|kill|url [FOLDER]')
  if (!(await server.isRunning())) throw new Error(`no PostgreSQL server is running in ${server.folder}`)
  console.log(server.url)
}

if (import.meta.main) {
  const [command, folder = join(process.env.ONEFOLD_DEV ?? join(tmpdir(), 'onefold-engines'), 'postgres')] = process.argv.slice(2)
  try {
    await main(command, folder)
  } catch (error) {
    console.error((error as Error).message)
    process.exitCode = 1
  }
}
