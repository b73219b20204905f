import type { Database, Session } from '../src/database/database.ts'
import type { Awaitable } from '../src/message.ts'

/**
 * For the measurement of what the inbox costs, and never for anything else: the same database, whose inbox may be told to
 * call every message new without looking or writing. With `inbox: true` the same wrapping and no change, so that both
 * sides pay for it.
 */
export function throughSeam<Tx>(database: Database<Tx>, inbox: boolean): Database<Tx> {
  return overriding(database, {
    write: (work: (session: Session<Tx>) => Awaitable<unknown>, options: Parameters<Database<Tx>['write']>[1]) =>
      database.write((session) => work(overriding(session, { inbox: inbox ? session.inbox : blind })), options),
  })
}

const blind: Session<unknown>['inbox'] = {
  claim: (_, envelopes) => envelopes.map(() => 'new' as const),
  forgottenMs: () => undefined,
}

/** Methods keep their own `this`: the engine's objects have private fields. Each is looked up once. */
function overriding<T extends object>(target: T, changes: Readonly<Record<string, unknown>>): T {
  const known = new Map<string | symbol, unknown>(Object.entries(changes))
  return new Proxy(target, {
    get(_, name) {
      const found = known.get(name)
      if (found !== undefined) return found
      const value: unknown = Reflect.get(target, name, target)
      if (typeof value !== 'function') return value
      const bound: unknown = value.bind(target)
      known.set(name, bound)
      return bound
    },
  })
}
