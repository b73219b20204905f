/**
 * A process that keeps a schedule of every second, releases delayed messages and consumes both, on a hurried clock. Started as
 * `node schedule-process.ts '<config as JSON>'`; kills itself at the named point, or stops when its stdin ends.
 */
import { once } from 'node:events'
import { onefold, topic } from '../../src/index.ts'
import type { Point } from '../../src/points.ts'
import type { EngineConfig } from './engine-access.ts'
import { openEngine } from './engine-access.ts'
import { hurriedRuntime } from './hurried-runtime.ts'

export interface ScheduleProcessConfig {
  readonly at: EngineConfig
  readonly originMs: number
  readonly speed: number
  /** Another schedule, so that this process has a lease of its own and races for the common one. */
  readonly own: string
  readonly kill?: { readonly point: Point; readonly pass: number }
}

export const scheduleProcess = new URL(import.meta.url).pathname
export const seconds = topic<{ for: number }>('seconds', { partitions: 1 })
export const delayed = topic<{ dueMs: number }>('delayed', { partitions: 2 })

async function main({ at, originMs, speed, own, kill }: ScheduleProcessConfig): Promise<void> {
  let passes = 0
  const runtime = {
    ...hurriedRuntime(originMs, speed),
    reached: (point: Point) => {
      if (point === kill?.point && ++passes === kill.pass) process.kill(process.pid, 'SIGKILL')
    },
  }
  const engine = await openEngine(at)
  const app = onefold({ database: engine.database(), runtime })
  const data = ({ scheduledFor }: { scheduledFor: Date }) => ({ for: scheduledFor.getTime() })
  app.schedule(seconds, { name: 'second', cron: '* * * * * *', data, missed: 'all', maxMissed: 1_000 })
  app.schedule(topic<number>('own'), { name: own, cron: '@yearly', data: 1 })
  app.consume(seconds, 'g', ({ for: ms }, { tx, message }) =>
    engine.write(tx, 'insert into effect values (?, ?)', message.id, runtime.wallMs() - ms),
  )
  app.consume(delayed, 'g', ({ dueMs }, { tx, message }) =>
    engine.write(tx, 'insert into effect values (?, ?)', message.id, runtime.wallMs() - dueMs),
  )
  await app.start()
  console.log('started')
  process.stdin.resume()
  await once(process.stdin, 'end')
  await app.stop()
  process.exit(0)
}

const [, program, config] = process.argv
if (program === scheduleProcess && config !== undefined) await main(JSON.parse(config) as ScheduleProcessConfig)
