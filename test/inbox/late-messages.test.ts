import fc from 'fast-check'
import { expect, onTestFinished, test } from 'vitest'
import type { Envelope } from '../../src/message.ts'
import { describeOnEngines } from '../support/engines.ts'
import { minuteMs, published, WindowDatabase } from '../support/window-database.ts'

const hourMs = 60 * minuteMs
const dayMs = 24 * hourMs

const anyArrival = fc.record({ number: fc.integer({ min: 0, max: 60 }), numbered: fc.constantFrom(false, false, true) })

const anyStep = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('claim' as const),
      arrivals: fc.array(anyArrival, { minLength: 1, maxLength: 8 }),
      undone: fc.boolean(),
      fails: fc.constantFrom(false, false, false, true),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('run' as const), minutes: fc.integer({ min: 1, max: 12 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('ahead' as const), days: fc.integer({ min: 0, max: 400 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('stop' as const), days: fc.integer({ min: 0, max: 30 }) }) },
)

class Undo extends Error {}

describeOnEngines('late messages', (engine) => {
  test('whatever arrives again, however late, after whatever was forgotten: nothing that was received is ever taken for new', {
    timeout: engine.name === 'sqlite' ? 60_000 : 180_000,
  }, async () => {
    const seen = { tooOld: 0, again: 0, dropped: 0 }
    await fc.assert(
      fc.asyncProperty(
        fc.array(anyStep, { minLength: 10, maxLength: 40 }),
        fc.constantFrom(6, 10_000),
        fc.array(fc.integer({ min: -6 * 60, max: 55 }), { minLength: 61, maxLength: 61 }),
        async (steps, maxIds, minutes) => {
          const store = await engine.store('')
          const file = await WindowDatabase.open({ make: store.database, ms: 12 * minuteMs, maxIds })
          const firstMs = file.nowMs
          /** What its producer stated: the same whenever it arrives, up to hours ago, or by a clock that is nearly an hour ahead. */
          const stated = ({ number }: { number: number }): number => firstMs + (minutes[number] ?? 0) * minuteMs
          const envelopeOf = (arrival: { number: number; numbered: boolean }): Envelope => ({
            ...published(`${arrival.number}`, stated(arrival)),
            sequence: arrival.numbered ? BigInt(arrival.number) : undefined,
          })
          const received = new Set<string>()
          let newestMs = Number.NEGATIVE_INFINITY
          let forgottenMs = Number.NEGATIVE_INFINITY
          let aheadMs = 0
          try {
            for (const step of steps) {
              if (step.do === 'run') await file.run(step.minutes * minuteMs)
              else if (step.do === 'ahead') {
                file.clock.wallAheadMs += step.days * dayMs - aheadMs
                aheadMs = step.days * dayMs
              } else if (step.do === 'stop') {
                await file.close()
                file.clock.wallAheadMs += step.days * dayMs
                await file.reopen()
              } else {
                const [before] = (await file.database.status()).dedupWindows
                const model = new Set(received)
                const work = file.write(async (session) => {
                  model.clear()
                  for (const name of received) model.add(name)
                  const claim = async (): Promise<void> => {
                    const answers = await session.inbox.claim({ topic: 't', group: 'g' }, step.arrivals.map(envelopeOf))
                    for (const [index, arrival] of step.arrivals.entries()) {
                      const name = `${arrival.numbered ? '#' : ''}${arrival.number}`
                      const answer = answers[index]
                      const timeMs = stated(arrival)
                      newestMs = Math.max(newestMs, timeMs)
                      if (model.has(name)) {
                        seen.again++
                        expect(answer, `${name} was received`).not.toBe('new')
                        if (arrival.numbered) expect(answer).toBe('seen')
                      } else {
                        const late = !arrival.numbered && before?.forgottenMs != null && timeMs <= before.forgottenMs
                        expect(answer, `${name} was not received`).toBe(late ? 'too-old' : 'new')
                      }
                      if (answer === 'too-old') seen.tooOld++
                      model.add(name)
                    }
                  }
                  if (step.undone) {
                    const kept = new Set(model)
                    const undone = session.savepoint(async () => {
                      await claim()
                      throw new Undo()
                    })
                    await Promise.resolve(undone).catch((error) => {
                      if (!(error instanceof Undo)) throw error
                    })
                    model.clear()
                    for (const name of kept) model.add(name)
                  } else await claim()
                  if (step.fails) throw new Undo()
                })
                if (step.fails) await expect(work).rejects.toBeInstanceOf(Undo)
                else {
                  await work
                  for (const name of model) received.add(name)
                }
              }
              const [window] = (await file.database.status()).dedupWindows
              if (window !== undefined) {
                expect(window.liveMs).toBeGreaterThanOrEqual(0)
                if (window.forgottenMs !== null) {
                  seen.dropped++
                  expect(window.forgottenMs).toBeLessThanOrEqual(newestMs)
                  expect(window.forgottenMs).toBeGreaterThanOrEqual(forgottenMs)
                  forgottenMs = window.forgottenMs
                }
              }
            }
          } finally {
            await file.close()
            await store.close()
          }
        },
      ),
      // Each needs a database of its own.
      // Few say little of what is likely: on a server always the same ones.
      engine.name === 'sqlite' ? { numRuns: 60 } : { numRuns: 12, seed: 5 },
    )
    // What is said above was really tried.
    const scale = engine.name === 'sqlite' ? 1 : 0.1
    expect(seen.again).toBeGreaterThan(100 * scale)
    expect(seen.tooOld).toBeGreaterThan(50 * scale)
    expect(seen.dropped).toBeGreaterThan(100 * scale)
  })

  async function opened(options: Parameters<typeof WindowDatabase.open>[0] = {}): Promise<WindowDatabase> {
    const file = await WindowDatabase.open({ make: (await engine.store('')).database, ...options })
    onTestFinished(() => file.close())
    return file
  }

  test('a group that reads an old backlog in order is late with nothing, however much of it was forgotten on the way', async () => {
    const file = await opened({ maxIds: 1 })
    const yearsAgoMs = file.nowMs - 3 * 365 * dayMs
    for (let day = 0; day < 10; day++) {
      expect(await file.claim(published(`day ${day}`, yearsAgoMs + day * dayMs))).toEqual(['new'])
      await file.run(4 * minuteMs)
    }
    expect((await file.database.status()).dedupWindows[0]?.forgottenMs).toBeGreaterThanOrEqual(yearsAgoMs + 6 * dayMs)
    expect(await file.claim(published('day 0', yearsAgoMs))).toEqual(['too-old'])
  })

  test('a producer whose clock is days behind is not late with what is new', async () => {
    const file = await opened({ maxIds: 1 })
    for (let number = 0; number < 6; number++) {
      expect(await file.claim(published(`${number}`, file.nowMs - 30 * dayMs))).toEqual(['new'])
      await file.run(4 * minuteMs)
    }
  })

  test('a producer whose clock is a year ahead makes the others late for an hour at most, and may itself hide that it is late', async () => {
    const file = await opened({ maxIds: 1 })
    const ahead = published('ahead', file.nowMs + 365 * dayMs)
    await file.claim(ahead)
    await file.run(4 * minuteMs)
    await file.claim(published('other', file.nowMs))
    await file.run(4 * minuteMs)
    expect(await file.claim(published('third', file.nowMs))).toEqual(['too-old'])
    file.clock.pass(hourMs)
    expect(await file.claim(published('fourth', file.nowMs))).toEqual(['new'])
    expect(await file.claim(ahead)).toEqual(['new'])
  })

  test('numbered messages are never too old', async () => {
    const file = await opened({ maxIds: 1 })
    await file.claim(published('a', file.nowMs))
    await file.run(4 * minuteMs)
    await file.claim(published('b', file.nowMs))
    await file.run(4 * minuteMs)
    const numbered: Envelope = { ...published('n', 1), sequence: 7n }
    expect(await file.claim(published('x', 1), numbered, numbered)).toEqual(['too-old', 'new', 'seen'])
  })

  test('what is late is remembered like what is new: a second copy is a repeat, and the same id with other data is told', async () => {
    const file = await opened({ maxIds: 1 })
    await file.claim(published('a', file.nowMs))
    await file.run(4 * minuteMs)
    await file.claim(published('b', file.nowMs))
    await file.run(4 * minuteMs)
    expect(await file.claim(published('a', 1))).toEqual(['too-old'])
    expect(await file.claim(published('a', 1), published('a', 1, 'other'))).toEqual(['seen', 'id-reused'])
    // In one batch, too, and whole batches of late ones.
    const late = Array.from({ length: 40 }, (_, number) => published(`late ${number}`, number))
    expect(await file.claim(...late, late[3] as Envelope)).toEqual([...Array(40).fill('too-old'), 'seen'])
  })

  test('what a savepoint undoes later in the same transaction does not make what came before it look older', async () => {
    const file = await opened({ maxIds: 1 })
    const kept = published('kept', file.nowMs)
    await file.write(async (session) => {
      await session.inbox.claim({ topic: 't', group: 'g' }, [kept])
      const undone = session.savepoint(async () => {
        await session.inbox.claim({ topic: 't', group: 'g' }, [published('undone', file.nowMs - dayMs)])
        throw new Undo()
      })
      await Promise.resolve(undone).catch(() => undefined)
      await session.inbox.claim({ topic: 't', group: 'g' }, [published('older', file.nowMs - hourMs)])
    })
    await file.run(4 * minuteMs)
    await file.claim(published('b', file.nowMs))
    await file.run(4 * minuteMs)
    expect((await file.database.status()).dedupWindows[0]?.forgottenMs).toBe(kept.timeMs)
    expect(await file.claim(kept)).toEqual(['too-old'])
  })
})
