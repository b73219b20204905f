/**
 * A process of its own that acts on the attention list of a database, or consumes it with a call that never ends. Started as
 * `node attention-process.ts '<config as JSON>'`; says on stdout, a line each, how far it is. An actor acts once a line comes on
 * its stdin, so that several can be let go together.
 */
import { once } from 'node:events'
import type { Settlement } from '../../src/index.ts'
import { call, onefold, topic } from '../../src/index.ts'
import type { EngineConfig } from './engine-access.ts'
import { openEngine } from './engine-access.ts'

export type AttentionProcessConfig =
  | {
      readonly at: EngineConfig
      readonly work: 'settle'
      readonly id: string
      readonly settlement: Settlement
      readonly by: string
    }
  | {
      readonly at: EngineConfig
      readonly work: 'redrive-all' | 'redrive-each'
      readonly ids: readonly string[]
      readonly by: string
    }
  | { readonly at: EngineConfig; readonly work: 'hang' }

export interface Order {
  readonly id: string
  readonly key: string
  readonly amount?: number
}

export const orders = topic<Order>('orders', { partitions: 1, id: (order) => order.id, key: (order) => order.key })

export const attentionProcess = new URL(import.meta.url).pathname

async function main(config: AttentionProcessConfig): Promise<void> {
  const engine = await openEngine(config.at)
  const app = onefold({ database: engine.database(), leaseMs: 300 })
  if (config.work === 'hang') {
    app.consume(orders, {
      group: 'ship',
      calls: {
        charge: call(
          () => {
            console.log('calling')
            return new Promise(() => setInterval(() => {}, 1_000))
          },
          { whenUnknown: 'ask-person' },
        ),
      },
      apply: () => undefined,
    })
    await app.start()
    console.log('started')
    return
  }
  await app.attention.list()
  console.log('ready')
  process.stdin.resume()
  await once(process.stdin, 'data')
  const { by } = config
  if (config.work === 'settle') console.log(JSON.stringify(await app.attention.settle(config.id, config.settlement, { by })))
  else if (config.work === 'redrive-all') console.log(JSON.stringify(await app.attention.redriveAll({}, { by })))
  else {
    let done = 0
    for (const id of config.ids) if (await app.attention.redrive(id, { by })) done++
    console.log(JSON.stringify({ done }))
  }
  await app.stop()
  process.exit(0)
}

const [, program, config] = process.argv
if (program === attentionProcess && config !== undefined) await main(JSON.parse(config) as AttentionProcessConfig)
