import type { Database } from '../../database/database.ts'
import { forget } from './forgetting.ts'
import { PostgresWorld } from './postgres-world.ts'
import { SimulatedDatabase } from './simulated-database.ts'
import type { SimulatedPool } from './simulated-pool.ts'
import { Notices, routePools } from './simulated-pool.ts'
import { SimulatedPostgres } from './simulated-postgres.ts'
import { SqliteWorld } from './sqlite-world.ts'
import { Turns } from './turns.ts'
import type { Incarnation, World } from './world.ts'
import type { ProcessDatabaseOptions, WorldDatabase } from './world-database.ts'

/** What the processes of one schedule have of the world's database, whichever that is. */
export class DatabasePorts {
  readonly #world: World
  readonly #database: WorldDatabase
  readonly #neighbours = new Set<SimulatedDatabase>()
  readonly #notices: Notices
  readonly #places: Turns
  readonly #pools = new Map<Incarnation, SimulatedPool>()

  /** `together`: so many transactions may be open at the same time, where the database can. */
  constructor(world: World, database: WorldDatabase, together: number) {
    this.#world = world
    this.#database = database
    this.#notices = new Notices(world)
    this.#places = new Turns(together)
    database.begins(world)
    if (database instanceof PostgresWorld)
      routePools(() => (world.current === undefined ? undefined : this.#pools.get(world.current)))
  }

  /** For one more life of a process. */
  open(options: ProcessDatabaseOptions): Database<unknown> {
    const database = this.#database
    if (database instanceof SqliteWorld)
      return new SimulatedDatabase({ ...options, sqlite: database, neighbours: this.#neighbours }) as Database<unknown>
    if (!(database instanceof PostgresWorld)) throw new Error('no port is known for this database')
    const port = new SimulatedPostgres({ ...options, postgres: database, notices: this.#notices, places: this.#places })
    this.#pools.set(options.self, port.userPool)
    return port
  }

  /** Somebody's transaction is open. */
  get busy(): boolean {
    return this.#world.locked !== undefined || this.#places.taken > 0
  }

  /** All that a window knows is forgotten, before anybody goes on. False: somebody's transaction is open. */
  forget(topic: string, group: string): boolean {
    const database = this.#database
    if (database instanceof SqliteWorld) return forget(database, this.#world, topic, group)
    if (!(database instanceof PostgresWorld) || this.busy) return false
    database.forget(this.#world, topic, group)
    return true
  }

  /** The schedule is over: whoever uses the user's pools now means the real ones. */
  close(): void {
    routePools(undefined)
  }
}
