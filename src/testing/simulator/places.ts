import type { App } from '../../app.ts'
import { placeOf } from './place-of.ts'
import type { Incarnation, World } from './world.ts'

/** A handler's context that tells the story of what is done with it. Without a listener, the context itself. */
export function telling<C extends object>(world: World, self: Incarnation, context: C): C {
  if (world.story === undefined) return context
  const tx = 'tx' in context ? tellingTx(world, self, context.tx as object) : undefined
  return new Proxy(context, {
    get(target, name) {
      if (name === 'tx' && tx !== undefined) return tx
      const value: unknown = Reflect.get(target, name, target)
      if (name !== 'publish' || typeof value !== 'function') return value
      return (...parameters: unknown[]) => {
        const topic = (parameters[0] as { name?: string } | undefined)?.name
        world.tell(self, `publishes to ${topic}, with this commit`, placeOf(new Error('here')))
        return value.apply(target, parameters)
      }
    },
  })
}

/** The app, whose transactions tell the story of what is done in them. Without a listener, the app itself. */
export function tellingTransactions(world: World, self: Incarnation, app: App<unknown>): App<unknown> {
  if (world.story === undefined) return app
  return new Proxy(app, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target)
      if (typeof value !== 'function') return value
      if (name !== 'transaction') return value.bind(target)
      return (work: (context: object) => unknown) => app.transaction((context) => work(telling(world, self, context)))
    },
  })
}

function tellingTx(world: World, self: Incarnation, tx: object): object {
  const tell = (sql: unknown): void => {
    if (typeof sql === 'string') world.tell(self, short(sql), placeOf(new Error('here')))
  }
  return new Proxy(tx, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target)
      if (typeof value !== 'function') return value
      if (name !== 'run' && name !== 'get' && name !== 'all' && name !== 'prepare' && name !== 'query') return value.bind(target)
      return (...parameters: unknown[]) => {
        tell(parameters[0])
        return value.apply(target, parameters)
      }
    },
  })
}

export const short = (sql: string): string => {
  const line = sql.replaceAll(/\s+/g, ' ').trim()
  return line.length > 90 ? `${line.slice(0, 87)}...` : line
}
