import { expect, test } from 'vitest'
import { z } from 'zod'
import { InDatabaseBroker } from '../../src/broker/in-database/in-database-broker.ts'
import type { App } from '../../src/index.ts'
import { topic } from '../../src/index.ts'
import type { EngineTx, Store } from '../support/engines.ts'
import { describeOnEngines } from '../support/engines.ts'
import { ShiftedRuntime } from '../support/shifted-runtime.ts'
import { rejection, sleep, until } from '../support/until.ts'

interface Tick {
  readonly for: string
}
const ticks = topic<Tick>('ticks', { partitions: 1 })
const tickOf = ({ scheduledFor }: { scheduledFor: Date }): Tick => ({ for: scheduledFor.toISOString() })
const messages = (store: Store) => store.column(`select id from ${store.log} order by place`)
const minuteMs = 60_000
const hourMs = 60 * minuteMs

/** A clock that stands shortly after a full hour of the past, and moves from there. */
function clockAt(text: string): ShiftedRuntime {
  const shifted = new ShiftedRuntime()
  shifted.wallAheadMs = Date.parse(text) - Date.now()
  return shifted
}

/** Starts it in the minute before the full hour, and when it knows its schedules, only `beforeMs` are left. */
async function startBefore(
  apps: readonly App<EngineTx>[],
  clock: ShiftedRuntime,
  schedules: number,
  beforeMs: number,
): Promise<void> {
  for (const app of apps) await app.start()
  await until(async () => (await apps[0]!.status()).schedules.length === schedules, 'the schedules')
  clock.pass(hourMs - (clock.runtime.wallMs() % hourMs) - beforeMs)
}

describeOnEngines('scheduler', (engine) => {
  test('a message a second: consumed with what its instant says, about when it says, and never before', async () => {
    const store = await engine.store()
    const app = store.app({ source: 'clockwork' })
    const seen: { id: string; source: string; data: Tick; headers: object; key: string | undefined; lateMs: number }[] = []
    app.schedule(ticks, { name: 'second', cron: '* * * * * *', data: tickOf, key: 'k', headers: { tenant: 'a' } })
    app.consume(ticks, 'g', (data, { message }) => {
      const { id, source, headers, key } = message
      seen.push({ id, source, data, headers: { ...headers }, key, lateMs: Date.now() - Date.parse(data.for) })
    })
    await app.start()
    await until(() => seen.length >= 3, 'three seconds')
    for (const [index, { data, lateMs, ...rest }] of seen.entries()) {
      expect(lateMs).toBeGreaterThanOrEqual(0)
      expect(lateMs).toBeLessThan(900)
      expect(Date.parse(data.for)).toBe(Date.parse(seen[0]!.data.for) + index * 1_000)
      expect(rest).toEqual({
        id: `second@${data.for}`,
        source: 'clockwork',
        key: 'k',
        headers: { tenant: 'a', 'onefold-schedule': 'second', 'onefold-scheduled-for': data.for },
      })
    }
    const [schedule] = (await app.status()).schedules
    expect(schedule).toMatchObject({ topic: 'ticks', name: 'second', pattern: '* * * * * *', timeZone: 'UTC', missed: 0 })
    expect(schedule!.nextMs).toBe(schedule!.lastMs - (schedule!.lastMs % 1_000) + 1_000)
  })

  test('downtime: the last missed firing, all of them up to the bound, or none', async () => {
    const store = await engine.store()
    const clock = clockAt('2026-03-02T08:00:20Z')
    const declared = () => {
      const app = store.app({ runtime: clock.runtime })
      for (const missed of ['last', 'all', 'none'] as const)
        app.schedule(ticks, { name: missed, cron: '0 * * * *', data: tickOf, missed, maxMissed: 3 })
      return app
    }
    const first = declared()
    await first.start()
    await until(async () => (await first.status()).schedules.length === 3, 'the schedules')
    await first.stop()
    expect(await messages(store)).toEqual([])
    clock.pass(5 * hourMs + 10 * minuteMs)
    const second = declared()
    await second.start()
    await until(
      async () => (await second.status()).schedules.every(({ fired, missed }) => fired + missed === 5),
      'five hours each',
    )
    expect((await messages(store)).toSorted()).toEqual([
      'all@2026-03-02T11:00:00.000Z',
      'all@2026-03-02T12:00:00.000Z',
      'all@2026-03-02T13:00:00.000Z',
      'last@2026-03-02T13:00:00.000Z',
    ])
    expect((await second.status()).schedules).toMatchObject([
      { name: 'all', fired: 3, missed: 2 },
      { name: 'last', fired: 1, missed: 4 },
      { name: 'none', fired: 0, missed: 5 },
    ])
    clock.pass(50 * minuteMs)
    await until(async () => (await messages(store)).length === 7, 'each at 14:00')
  })

  test('a clock that goes back fires nothing again; one that jumps years ahead fires a bounded number', async () => {
    const store = await engine.store()
    const clock = clockAt('2026-03-02T08:59Z')
    const app = store.app({ runtime: clock.runtime })
    app.schedule(ticks, { name: 'hour', cron: '0 * * * *', data: tickOf })
    app.schedule(ticks, { name: 'each', cron: '0 * * * *', data: tickOf, missed: 'all', maxMissed: 4 })
    await startBefore([app], clock, 2, 500)
    await until(async () => (await messages(store)).length === 2, 'nine o’clock')
    clock.wallAheadMs -= 30 * minuteMs
    await sleep(600)
    clock.wallAheadMs += 30 * minuteMs
    await sleep(600)
    expect(await messages(store)).toHaveLength(2)
    clock.wallAheadMs += 3 * 365 * 24 * hourMs
    await until(async () => (await messages(store)).length === 7, 'one and four')
    await sleep(600)
    expect(await messages(store)).toHaveLength(7)
    expect((await app.status()).schedules.map(({ missed }) => missed)).toEqual([996, 999])
  })

  test('a new schedule begins now; a changed pattern goes on from the instant decided last; a renamed one is new', async () => {
    const store = await engine.store()
    const clock = clockAt('2026-03-02T08:10Z')
    const withPattern = (cron: string, name = 'a') => {
      const app = store.app({ runtime: clock.runtime })
      app.schedule(ticks, { name, cron, data: tickOf, missed: 'all' })
      return app
    }
    const first = withPattern('0 9 * * *')
    await first.start()
    await until(async () => (await first.status()).schedules.length === 1, 'it')
    expect(await messages(store)).toEqual([])
    clock.pass(55 * minuteMs)
    await until(async () => (await messages(store)).length === 1, 'nine')
    await first.stop()
    const second = withPattern('*/20 9 * * *')
    clock.pass(20 * minuteMs)
    await second.start()
    await until(async () => (await messages(store)).length === 2, 'twenty past')
    expect((await second.status()).schedules).toMatchObject([{ pattern: '*/20 9 * * *', fired: 2 }])
    await second.stop()
    clock.pass(20 * minuteMs)
    const third = withPattern('*/20 9 * * *', 'b')
    await third.start()
    await until(async () => (await third.status()).schedules.length === 2, 'the new one')
    await sleep(300)
    expect(await messages(store)).toEqual(['a@2026-03-02T09:00:00.000Z', 'a@2026-03-02T09:20:00.000Z'])
    const overdue = (await third.status()).schedules.find(({ name }) => name === 'a')
    expect(overdue!.nextMs).toBe(Date.parse('2026-03-02T09:40Z'))
  })

  test('Berlin: nine in the morning stays nine when the clocks change', async () => {
    const store = await engine.store()
    const clock = clockAt('2026-03-27T12:00Z')
    const app = store.app({ runtime: clock.runtime })
    app.schedule(ticks, { name: 'nine', cron: '0 9 * * *', timeZone: 'Europe/Berlin', data: tickOf, missed: 'all' })
    await app.start()
    await until(async () => (await app.status()).schedules.length === 1, 'it')
    clock.pass(3 * 24 * hourMs)
    await until(async () => (await messages(store)).length === 3, 'three mornings')
    expect(await messages(store)).toEqual([
      'nine@2026-03-28T08:00:00.000Z',
      'nine@2026-03-29T07:00:00.000Z',
      'nine@2026-03-30T07:00:00.000Z',
    ])
  })

  test('a data function that throws, or data that the topic refuses, is reported, holds up no other schedule, and comes to pass later', async () => {
    const store = await engine.store()
    const clock = clockAt('2026-03-02T08:59Z')
    const app = store.app({ runtime: clock.runtime })
    let broken = true
    const checked = topic('checked', { partitions: 1, schema: z.object({ n: z.number() }) })
    app.schedule(ticks, {
      name: 'broken',
      cron: '0 * * * *',
      data: (firing) => {
        if (broken) throw new Error('not today')
        return tickOf(firing)
      },
    })
    app.schedule(checked, { name: 'refused', cron: '0 * * * *', data: () => (broken ? ({ n: 'one' } as never) : { n: 1 }) })
    app.schedule(ticks, { name: 'sound', cron: '0 * * * *', data: tickOf })
    await startBefore([app], clock, 3, 500)
    await until(async () => (await messages(store)).length === 1, 'the sound one')
    await until(() => store.events.filter(({ kind }) => kind === 'schedule-failed').length >= 2, 'both are reported')
    expect(store.events).toContainEqual(
      expect.objectContaining({ kind: 'schedule-failed', topic: 'ticks', message: 'schedule broken: not today' }),
    )
    broken = false
    await until(async () => (await messages(store)).length === 3, 'all')
  })

  test('declared badly: refused by the name of the option, before start or at it, and nothing is opened', async () => {
    const store = await engine.store()
    const app = store.app()
    const good = { name: 'n', cron: '@daily', data: { for: '' } }
    const wrong: [object, string][] = [
      [{ name: 'a b' }, 'name'],
      [{ cron: 5 }, 'cron'],
      [{ cron: '' }, 'cron'],
      [{ timeZone: 'Europe/Atlantis' }, 'timeZone'],
      [{ missed: 'some' }, 'missed'],
      [{ maxMissed: 0 }, 'maxMissed'],
      [{ maxMissed: 1_001 }, 'maxMissed'],
    ]
    for (const [change, option] of wrong)
      expect(() => app.schedule(ticks, { ...good, ...change }), option).toThrow(
        expect.objectContaining({ code: 'OPTION_INVALID', details: expect.objectContaining({ option }) }),
      )
    app.schedule(ticks, good)
    expect(() => app.schedule(ticks, good)).toThrow(expect.objectContaining({ code: 'OPTION_INVALID' }))
    app.schedule(ticks, { ...good, name: 'unreadable', cron: 'now and then' })
    expect(await rejection(app.start())).toMatchObject({ code: 'OPTION_INVALID', details: { option: 'cron' } })
    const other = store.app()
    other.schedule(topic('checked', { schema: z.object({ n: z.number() }) }), {
      name: 'n',
      cron: '@daily',
      data: { n: 'x' as never },
    })
    expect(await rejection(other.start())).toMatchObject({ code: 'MESSAGE_INVALID' })
    const late = store.app()
    await late.start()
    expect(() => late.schedule(ticks, good)).toThrow(expect.objectContaining({ code: 'APP_STARTED' }))
    expect(await store.column(`select count(*) from ${store.table('cron')}`)).toEqual([0])
  })

  test('data is checked against the topic by the compiler', async () => {
    const app = (await engine.store()).app()
    const check = () => {
      // @ts-expect-error: not the topic's input
      app.schedule(ticks, { name: 'a', cron: '@daily', data: { for: 1 } })
      // @ts-expect-error: neither is this
      app.schedule(ticks, { name: 'b', cron: '@daily', data: () => ({ for: 1 }) })
      app.schedule(ticks, {
        name: 'c',
        cron: '@daily',
        data: ({ at, scheduledFor }) => ({ for: `${at.getTime()} ${scheduledFor.getTime()}` }),
      })
    }
    expect(check).toBeTypeOf('function')
  })

  test('to a broker outside the database a firing leaves by the outbox, once', async () => {
    const store = await engine.store()
    const brokerStore = await engine.store()
    const clock = clockAt('2026-03-02T08:59Z')
    const apps = [0, 1].map(() => {
      const app = store.app({ runtime: clock.runtime, broker: new InDatabaseBroker(brokerStore.database()) })
      app.schedule(ticks, { name: 'hour', cron: '0 * * * *', data: tickOf })
      return app
    })
    await startBefore(apps, clock, 1, 200)
    await until(async () => (await messages(brokerStore)).length === 1, 'it')
    clock.pass(hourMs)
    await until(async () => (await messages(brokerStore)).length === 2, 'the next')
    await sleep(300)
    expect(await messages(brokerStore)).toEqual(['hour@2026-03-02T09:00:00.000Z', 'hour@2026-03-02T10:00:00.000Z'])
    expect(await store.column(`select count(*) from ${store.table('outbox')}`)).toEqual([0])
  })
})
