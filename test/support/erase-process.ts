/**
 * Erases a key and kills itself after so many commits of it. Started as `node erase-process.ts '<config as JSON>'`.
 */
import { sqlite } from '../../src/database/sqlite/index.ts'
import { onefold } from '../../src/index.ts'
import { nodeRuntime } from '../../src/runtime/node-runtime.ts'
import type { Point } from '../../src/points.ts'

export interface EraseProcessConfig {
  readonly file: string
  readonly topic: string
  readonly key: string
  readonly killAtCommit: number
}

export const eraseProcess = new URL(import.meta.url).pathname

async function main({ file, topic, key, killAtCommit }: EraseProcessConfig): Promise<void> {
  let commits = 0
  const reached = (point: Point): void => {
    if (point === 'erase:committed' && ++commits === killAtCommit) process.kill(process.pid, 'SIGKILL')
  }
  const app = onefold({ database: sqlite(file), runtime: { ...nodeRuntime(), reached } })
  const result = await app.erase(topic, { key, by: 'process' })
  await app.stop()
  console.log(JSON.stringify(result))
}

const [, program, config] = process.argv
if (program === eraseProcess && config !== undefined) await main(JSON.parse(config) as EraseProcessConfig)
