import { expect, test } from 'vitest'
import type { Point } from '../../src/points.ts'
import { seededRandom } from '../../src/testing/index.ts'
import { describeOnEngines } from '../support/engines.ts'
import { hurriedRuntime } from '../support/hurried-runtime.ts'
import type { ScheduleProcessConfig } from '../support/schedule-process.ts'
import { delayed, scheduleProcess } from '../support/schedule-process.ts'
import { Worker } from '../support/torture-process.ts'
import { until } from '../support/until.ts'

const speed = 15
const kills = 8
const delays = 150

describeOnEngines('schedules', (engine) => {
  test('two processes race for every second and for what is due, and are killed in the midst of it: each once, none before its time', {
    timeout: 60_000,
  }, async () => {
    const seed = 20_261_121
    const random = seededRandom(seed)
    const store = await engine.store()
    const clock = { originMs: Date.now(), speed }
    const runtime = hurriedRuntime(clock.originMs, speed)
    const publisher = store.app({ runtime })
    const dueMs = (number: number) => clock.originMs + 3_000 + number * 300
    await publisher.publishMany(
      delayed,
      Array.from({ length: delays }, (_, number) => ({
        id: `late-${number}`,
        data: { dueMs: dueMs(number) },
        deliverAt: new Date(dueMs(number)),
      })),
    )
    await publisher.stop()

    const points: Point[] = ['schedule:due', 'schedule:published', 'commit:before', 'schedule:committed']
    const killed: string[] = []
    const running = new Set<Worker>()
    const start = (own: string): void => {
      const kill = { point: points[Math.floor(random() * points.length)] as Point, pass: 1 + Math.floor(random() * 8) }
      const config = {
        at: store.config,
        ...clock,
        own,
        ...(killed.length < kills ? { kill } : {}),
      } satisfies ScheduleProcessConfig
      const worker = new Worker(scheduleProcess, config)
      running.add(worker)
      void worker.ended.then(({ signal }) => {
        running.delete(worker)
        if (signal !== 'SIGKILL') return
        killed.push(`${kill.point} ${kill.pass}`)
        start(own)
      })
    }
    start('a')
    start('b')
    await until(() => killed.length >= kills, 'the kills', 40_000)
    const survivedMs = runtime.wallMs()
    await until(
      async () =>
        (await store.column<number>(`select last_ms from ${store.table('cron')} where name = 'second'`))[0]! >
          survivedMs + 5_000 && (await store.column("select id from effect where id like 'late-%'")).length === delays,
      'five seconds after the last kill, and all that was delayed',
      30_000,
    )
    expect(running.size).toBe(2)
    const last = [...running]
    for (const worker of last) worker.child.stdin?.end()
    expect(await Promise.all(last.map(({ ended }) => ended))).toEqual([
      { code: 0, signal: null },
      { code: 0, signal: null },
    ])
    const story = `seed ${seed}, killed at ${killed.join(', ')}`

    const fired = await store.column(`select id from ${store.log} where topic = ? order by place`, 'seconds')
    const firstMs = Date.parse(fired[0]!.slice('second@'.length))
    // Each second once, in order, and none left out from the first to the last.
    expect(fired, story).toEqual(fired.map((_, number) => `second@${new Date(firstMs + number * 1_000).toISOString()}`))
    expect(fired.length, story).toBeGreaterThan(30)
    const [record] = await store.rows<{ fired: number; missed: number }>(
      `select fired, missed from ${store.table('cron')} where name = 'second'`,
    )
    expect(record, story).toEqual({ fired: fired.length, missed: 0 })
    const released = await store.column(`select id from ${store.log} where topic = ?`, 'delayed')
    expect(released.toSorted(), story).toEqual(Array.from({ length: delays }, (_, number) => `late-${number}`).toSorted())

    const effects = await store.rows<{ id: string; value: number }>('select id, value from effect')
    const applied = effects.map(({ id }) => id)
    expect(new Set(applied).size, story).toBe(applied.length)
    expect(
      applied.filter((id) => id.startsWith('late')),
      story,
    ).toHaveLength(delays)
    expect(
      effects.filter(({ value }) => value < 0),
      story,
    ).toEqual([])
  })
})
