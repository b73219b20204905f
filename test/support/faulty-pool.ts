import type { Pool, PoolClient } from 'pg'

/** Which statement is hit, counted from 1, and whether the server has executed it before the connection is lost. */
export interface LostConnection {
  readonly at: number
  readonly executed: boolean
}

/** A pool over which a connection is lost at one statement. `statements` counts those that were sent. */
export function faultyPool(pool: Pool, lost: LostConnection): Pool & { readonly statements: number } {
  let statements = 0
  const reset = (): Error => Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' })
  const hit = async <R>(send: () => Promise<R>): Promise<R> => {
    if (++statements !== lost.at) return send()
    if (lost.executed) await send()
    throw reset()
  }
  const connect = async (): Promise<PoolClient> => {
    const client = await pool.connect()
    let broken = false
    const query = client.query.bind(client) as (text: string, values?: unknown[]) => Promise<unknown>
    return new Proxy(client, {
      get(target, name) {
        if (name === 'query') {
          return async (text: string, values?: unknown[]) => {
            // Nothing more goes over a connection that is lost, not even a rollback.
            if (broken) throw reset()
            const before = statements
            try {
              return await hit(() => query(text, values))
            } finally {
              if (before + 1 === lost.at) broken = true
            }
          }
        }
        if (name === 'release') return (destroy?: boolean) => target.release(broken || destroy === true)
        const value = Reflect.get(target, name)
        return typeof value === 'function' ? value.bind(target) : value
      },
    })
  }
  return new Proxy(pool, {
    get(target, name) {
      if (name === 'statements') return statements
      if (name === 'connect') return connect
      if (name === 'query') return (text: string, values?: unknown[]) => hit(() => pool.query(text, values))
      const value = Reflect.get(target, name)
      return typeof value === 'function' ? value.bind(target) : value
    },
  }) as Pool & { readonly statements: number }
}
