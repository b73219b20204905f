/**
 * Erases a key and kills itself after so many commits of it. Started as `node erase-process.ts '<config as JSON>'`.
 */
import { onefold } from '../../src/index.ts'
import type { Point } from '../../src/points.ts'
import { nodeRuntime } from '../../src/runtime/node-runtime.ts'
import type { EngineConfig } from './engine-access.ts'
import { openEngine } from './engine-access.ts'

export interface EraseProcessConfig {
  readonly at: EngineConfig
  readonly topic: string
  readonly key: string
  readonly killAtCommit: number
}

export const eraseProcess = new URL(import.meta.url).pathname

async function main({ at, topic, key, killAtCommit }: EraseProcessConfig): Promise<void> {
  let commits = 0
  const reached = (point: Point): void => {
    if (point === 'erase:committed' && ++commits === killAtCommit) process.kill(process.pid, 'SIGKILL')
  }
  const engine = await openEngine(at)
  const app = onefold({ database: engine.database(), runtime: { ...nodeRuntime(), reached } })
  const result = await app.erase(topic, { key, by: 'process' })
  await app.stop()
  await engine.close()
  console.log(JSON.stringify(result))
}

const [, program, config] = process.argv
if (program === eraseProcess && config !== undefined) await main(JSON.parse(config) as EraseProcessConfig)
