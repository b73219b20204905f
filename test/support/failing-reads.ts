import type { Stores } from '../../src/database/database.ts'
import { OnefoldError } from '../../src/index.ts'
import type { Store } from './engines.ts'

/** A database in which a read that looks at `store` fails for as long as `fails` says so. */
export function failingReads(on: Store, store: keyof Stores, fails: () => boolean): ReturnType<Store['database']> {
  const database = on.database()
  const read = database.read.bind(database)
  database.read = (work) =>
    read((stores) => {
      let asked = false
      const noting = new Proxy(stores, {
        get(target, name) {
          asked ||= name === store
          return Reflect.get(target, name, target)
        },
      })
      const answer = work(noting)
      if (asked && fails()) throw new OnefoldError('DATABASE_IO', `reading ${store} failed`, { retry: 'later' })
      return answer
    })
  return database
}
