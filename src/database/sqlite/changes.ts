import type { FSWatcher } from 'node:fs'
import { watch } from 'node:fs'
import { basename, dirname } from 'node:path'
import type { Runtime } from '../../runtime.ts'
import type { Changes } from '../database.ts'
import type { SqliteConnection } from './connection.ts'

/** How often other processes' commits are looked for when the system sends no notice of file changes. */
const idlePollMs = 100
/** After a notice the commit may still be on its way: look often, but not for long. */
const eagerPollMs = 2
const eagerPolls = 20

/**
 * Notices commits: our own at once, other processes' through `PRAGMA data_version`, looked at when the WAL file is seen
 * to change. The file itself is only watched, never opened: closing it would drop SQLite's own locks in this process.
 */
export class SqliteChanges implements Changes {
  readonly #runtime: Runtime
  readonly #listeners = new Set<(topics: ReadonlySet<string> | undefined) => void>()
  #reader: SqliteConnection | undefined
  #watcher: FSWatcher | undefined
  #resting = false
  #poll: Disposable | undefined
  #version = -1
  #unsure = false
  #eager = 0
  #eagerTimer: Disposable | undefined

  constructor(runtime: Runtime) {
    this.#runtime = runtime
  }

  onChange(listener: (topics: ReadonlySet<string> | undefined) => void): Disposable {
    this.#listeners.add(listener)
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) }
  }

  /** Also after the connection was replaced: listeners stay. */
  open(reader: SqliteConnection): void {
    this.#release()
    this.#reader = reader
    this.#version = this.#look()
    this.#poll = this.#runtime.every(idlePollMs, () => this.#check(this.#unsure))
    if (!this.#resting) this.#watch(reader.file)
  }

  /**
   * The system's notices cost a part of every page that is written. They are not needed while one transaction of ours
   * follows the other, for each learns at BEGIN what others have committed.
   */
  rest(resting: boolean): void {
    this.#resting = resting
    if (this.#reader === undefined) return
    if (resting) {
      this.#watcher?.close()
      this.#watcher = undefined
      this.#eagerTimer?.[Symbol.dispose]()
      this.#eager = 0
    } else {
      this.#watch(this.#reader.file)
      this.#check()
    }
  }

  #watch(file: string): void {
    const wal = `${basename(file)}-wal`
    this.#watcher?.close()
    try {
      this.#watcher = watch(dirname(file), { persistent: false }, (_event, name) => {
        if (name !== wal) return
        // The notice comes with the first page; the commit is visible only after its sync.
        if (this.#eager === 0) this.#beEager()
        else this.#eager = eagerPolls
      })
      this.#watcher.on('error', () => this.#watcher?.close())
    } catch {
      // No notices on this system: polling alone.
    }
  }

  close(): void {
    this.#release()
    this.#listeners.clear()
  }

  #release(): void {
    this.#poll?.[Symbol.dispose]()
    this.#eagerTimer?.[Symbol.dispose]()
    this.#watcher?.close()
    this.#watcher = undefined
    this.#eager = 0
    this.#reader = undefined
  }

  /**
   * Our own commit; without topics: others have committed before it. Another process's may have slipped in before we look:
   * the next poll tells everybody to be sure.
   */
  committed(topics: ReadonlySet<string> | undefined): void {
    this.#version = this.#look()
    this.#unsure = true
    for (const listener of this.#listeners) listener(topics)
  }

  #beEager(): void {
    this.#eager = eagerPolls
    const again = (): void => {
      if (this.#check() || --this.#eager <= 0) {
        this.#eager = 0
        return
      }
      this.#eagerTimer = this.#runtime.after(eagerPollMs, again)
    }
    again()
  }

  #check(unsure = false): boolean {
    const version = this.#look()
    if (version === this.#version && !unsure) return false
    this.#version = version
    this.#unsure = false
    for (const listener of this.#listeners) listener(undefined)
    return true
  }

  #look(): number {
    try {
      return this.#reader?.prepare('pragma data_version').get<{ data_version: number }>()?.data_version ?? this.#version
    } catch {
      return this.#version
    }
  }
}
