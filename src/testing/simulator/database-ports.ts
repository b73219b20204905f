import type { Database } from '../../database/database.ts'
import { forget } from './forgetting.ts'
import { PostgresWorld } from './postgres-world.ts'
import { SimulatedDatabase } from './simulated-database.ts'
import type { SimulatedPool } from './simulated-pool.ts'
import { Notices, routePools } from './simulated-pool.ts'
import { SimulatedPostgres } from './simulated-postgres.ts'
import { SqliteWorld } from './sqlite-world.ts'
import type { Incarnation, World } from './world.ts'
import type { ProcessDatabaseOptions, WorldDatabase } from './world-database.ts'

/** What the processes of one schedule have of the world's database, whichever that is. */
export class DatabasePorts {
  readonly #world: World
  readonly #database: WorldDatabase
  readonly #neighbours = new Set<SimulatedDatabase>()
  readonly #notices: Notices
  readonly #pools = new Map<Incarnation, SimulatedPool>()

  constructor(world: World, database: WorldDatabase) {
    this.#world = world
    this.#database = database
    this.#notices = new Notices(world)
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
    const port = new SimulatedPostgres({ ...options, postgres: database, notices: this.#notices })
    this.#pools.set(options.self, port.userPool)
    return port
  }

  /** All that a window knows is forgotten, before anybody goes on. False: somebody's transaction is open. */
  forget(topic: string, group: string): boolean {
    const database = this.#database
    if (database instanceof SqliteWorld) return forget(database, this.#world, topic, group)
    if (!(database instanceof PostgresWorld) || this.#world.locked !== undefined) return false
    database.forget(this.#world, topic, group)
    return true
  }

  /** The schedule is over: whoever uses the user's pools now means the real ones. */
  close(): void {
    routePools(undefined)
  }
}
