/**
 * A process of its own with an app on a database. Started as `node app-process.ts '<config as JSON>'`; says on stdout, a line
 * each, how far it is, and stops when its stdin ends.
 */
import { once } from 'node:events'
import { onefold, topic } from '../../src/index.ts'
import type { EngineConfig } from './engine-access.ts'
import { openEngine } from './engine-access.ts'

export interface AppProcessConfig {
  readonly at: EngineConfig
  readonly partitions: number
  readonly leaseMs?: number
  /** What one handler takes, in ms. */
  readonly handlerMs?: number
}

export const appProcess = new URL(import.meta.url).pathname

async function main(config: AppProcessConfig): Promise<void> {
  const steps = topic<{ id: string; key: string }>('steps', {
    partitions: config.partitions,
    id: (step) => step.id,
    key: (step) => step.key,
  })
  const engine = await openEngine(config.at)
  const app = onefold({ database: engine.database(), leaseMs: config.leaseMs ?? 10_000 })
  app.consume(steps, 'g', async ({ id }, { tx }) => {
    if (config.handlerMs !== undefined) await new Promise((resolve) => setTimeout(resolve, config.handlerMs))
    await engine.write(tx, 'insert into effect values (?, ?)', id, process.pid)
  })
  await app.start()
  console.log('started')
  process.stdin.resume()
  await once(process.stdin, 'end')
  await app.stop()
  await engine.close()
  console.log('stopped')
  process.exit(0)
}

const [, program, config] = process.argv
if (program === appProcess && config !== undefined) await main(JSON.parse(config) as AppProcessConfig)
