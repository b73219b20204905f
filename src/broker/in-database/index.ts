import type { Database } from '../../database/database.ts'
import type { Broker } from '../broker.ts'
import type { InDatabaseBrokerOptions } from './in-database-broker.ts'
import { InDatabaseBroker } from './in-database-broker.ts'

/**
 * A broker in a database of its own, apart from the app's. (The app's own database is the default broker already and
 * needs no call.) It acknowledges into its database after the effect has committed in the app's.
 *
 * @example
 * onefold({ database: sqlite('app.db'), broker: inDatabaseBroker(sqlite('broker.db')) })
 */
export function inDatabaseBroker<Tx>(database: Database<Tx>, options: InDatabaseBrokerOptions = {}): Broker {
  return new InDatabaseBroker(database as Database<unknown>, options)
}
