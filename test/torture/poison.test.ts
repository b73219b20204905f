import { cpSync } from 'node:fs'
import { afterEach, describe, expect, test } from 'vitest'
import { sqlite } from '../../src/database/sqlite/index.ts'
import type { App, Semantics } from '../../src/index.ts'
import { onefold } from '../../src/index.ts'
import { seededRandom } from '../../src/testing/index.ts'
import { audit, clean, readRows } from '../support/torture-audit.ts'
import { removeFolder, temporaryFolder, until } from '../support/torture-process.ts'
import { publishedFolder, Scene } from '../support/torture-scene.ts'
import { deathsAllowed, maxCrashes, supervise } from '../support/torture-supervisor.ts'
import type { Order, Topology } from '../support/torture-workload.ts'
import {
  appFile,
  applyOrder,
  createTables,
  hearSummary,
  orders as ordersTopic,
  someOrders,
  summaries,
} from '../support/torture-workload.ts'

let observer: App<unknown> | undefined

afterEach(async () => {
  await observer?.stop()
  observer = undefined
})

describe('a message that ends the process that applies it', () => {
  // Of keys in either partition: neighbours in the other one must not be suspected for it.
  interface Case {
    readonly kind: 'abort' | 'memory' | 'loop'
    readonly id: string
    readonly topology: Topology
    readonly semantics: Semantics
    /** It works in a declared call, a while after the message was received. */
    readonly calls?: boolean
  }
  const usual = { kind: 'abort', topology: 'in-database', semantics: 'effectively-once' } as const
  const cases: readonly Case[] = [
    { ...usual, id: 'k0-3' },
    { ...usual, id: 'k1-3' },
    { ...usual, id: 'k2-3' },
    { ...usual, id: 'k3-1' },
    { ...usual, id: 'k0-3', kind: 'memory' },
    { ...usual, id: 'k1-3', kind: 'loop' },
    // Behind a broker that repeats and reorders.
    { ...usual, id: 'k0-3', topology: 'test-broker' },
    { ...usual, id: 'k1-1', topology: 'test-broker' },
    { ...usual, id: 'k0-3', semantics: 'at-least-once' },
    { ...usual, id: 'k3-3', semantics: 'at-least-once' },
    { ...usual, id: 'k0-3', calls: true },
    { ...usual, id: 'k2-1', kind: 'loop', calls: true },
    { ...usual, id: 'k1-3', topology: 'test-broker', calls: true },
  ]

  test.for(cases)(
    '$kind at $id, $topology, $semantics, calls: $calls: it alone goes to attention, all others are applied, and its key in order once cured',
    async ({ topology, semantics, calls = false, ...poison }) => {
      const orders = someOrders(6, 10)
      const scene = new Scene(orders, { topology, folder: await publishedFolder(orders, { topology }) })
      const done = (): number =>
        new Set(readRows(scene.folder)[semantics === 'effectively-once' ? 'heard' : 'applied'].map((order) => order.id)).size
      const behind = orders.filter((order) => order.key === poison.id.slice(0, 2) && order.number >= Number(poison.id.slice(3)))
      observer = scene.observer()
      const app = observer
      const deaths = await supervise(
        scene,
        { poison, semantics, calls, ...(poison.kind === 'loop' ? { transactionTimeoutMs: 300 } : {}) },
        async () => (await app.attention.list()).length > 0 && done() >= orders.length - behind.length,
        poison.kind === 'memory' ? ['--max-old-space-size=64'] : [],
      )
      console.log(`${poison.kind} at ${poison.id} (${topology}, ${semantics}): ${deaths.length} deaths (${deaths.join(', ')})`)
      expect(deaths.length).toBeLessThanOrEqual(deathsAllowed)

      const waiting = await app.attention.list()
      expect(waiting.map((item) => item.envelope.id)).toEqual([poison.id])
      expect(waiting[0]).toMatchObject({ crashes: maxCrashes, behind: behind.length - 1 })
      const { lost } = audit(scene.folder, orders)
      expect(lost).toEqual(behind.map((order) => order.id))

      expect(await app.attention.redrive(waiting[0]?.id ?? '')).toBe(true)
      await scene.finish({ semantics, calls })
      if (semantics === 'effectively-once') expect(audit(scene.folder, orders)).toEqual(clean)
      else expect(audit(scene.folder, orders)).toMatchObject({ lost: [], outOfOrder: [], neverPublished: [], totalsWrong: [] })
    },
  )
})

test('deploys that end consumers with SIGKILL, a dozen times: no attempt is used up, and nobody is accused', async () => {
  const orders = someOrders(6, 20)
  const scene = new Scene(orders, { folder: await publishedFolder(orders) })
  const random = seededRandom(11)
  for (let deploy = 0; deploy < 12; deploy++) {
    // From the second message on: each process gets something done.
    const pass = 2 + Math.floor(random() * 5)
    const worker = scene.start({ role: 'consume', maxCrashes, halt: { at: 'consume:applied', pass, signal: 'SIGKILL' } })
    expect((await worker.end()).signal, worker.story()).toBe('SIGKILL')
  }
  await scene.finish()
  observer = scene.observer()
  expect(await observer.attention.list()).toEqual([])
  expect(readRows(scene.folder).applied.filter(({ attempt }) => attempt !== 1)).toEqual([])
  expect(audit(scene.folder, orders)).toEqual(clean)
})

describe('a message that always throws', () => {
  const orders = someOrders(50, 400)
  const poisoned = 'k7'
  const others = orders.filter((order) => order.key !== poisoned).length

  /** Applies all there is; answers how long the other keys took. `cure` lets the poison pass, after a person's redrive. */
  async function consume(published: string, sick: boolean): Promise<{ ms: number; folder: string; cure: () => Promise<void> }> {
    const folder = temporaryFolder()
    cpSync(published, folder, { recursive: true })
    let left = others
    const { promise: done, resolve: finished } = Promise.withResolvers<void>()
    const app = onefold({ database: sqlite(appFile(folder)), source: 'torture' })
    app.consume(ordersTopic, {
      group: 'ledger',
      maxAttempts: 4,
      backoffMs: 20,
      apply(order, { tx, publish, attempt }) {
        if (sick && order.id === `${poisoned}-1`) throw new Error('poison')
        applyOrder(tx, order, attempt)
        publish(summaries, order)
        if (order.key !== poisoned && --left === 0) finished()
      },
    })
    const startedMs = performance.now()
    await app.start()
    await done
    const ms = performance.now() - startedMs
    await app.idle()
    await app.stop()
    const cure = async (): Promise<void> => {
      const cured = onefold({ database: sqlite(appFile(folder)), source: 'torture' })
      cured.consume(ordersTopic, {
        group: 'ledger',
        apply(order, { tx, publish, attempt }) {
          applyOrder(tx, order, attempt)
          publish(summaries, order)
        },
      })
      cured.consume(summaries, { group: 'board', apply: (summary, { tx }) => hearSummary(tx, summary) })
      await cured.start()
      const [item] = await cured.attention.list()
      expect(item).toMatchObject({ attempts: 4, crashes: 0, behind: 399, envelope: { id: `${poisoned}-1` } })
      expect(await cured.attention.redrive(item?.id ?? '')).toBe(true)
      await until(
        () => readRows(folder).heard.length >= orders.length,
        () => 'all is heard',
        60_000,
      )
      await cured.stop()
    }
    return { ms, folder, cure }
  }

  test('holds up its own key alone: other keys are as fast as without it, and in one attempt; its key follows in order', async () => {
    const published = temporaryFolder()
    createTables(published)
    const publisher = onefold({ database: sqlite(appFile(published)), source: 'torture' })
    await publisher.publishMany(
      ordersTopic,
      orders.map((data: Order) => ({ data })),
    )
    await publisher.stop()

    const measure = async (pairs: number): Promise<number[]> => {
      const ratios: number[] = []
      for (let pair = 0; pair < pairs; pair++) {
        const first = pair % 2 === 0
        const one = await consume(published, first)
        const two = await consume(published, !first)
        const [sick, sound] = first ? [one, two] : [two, one]
        ratios.push(sound.ms / sick.ms)
        const { applied } = readRows(sick.folder)
        expect(applied.filter((order) => order.key === poisoned)).toEqual([])
        expect(applied.filter(({ attempt }) => attempt !== 1)).toEqual([])
        if (pair === 0) {
          await sick.cure()
          expect(audit(sick.folder, orders)).toEqual(clean)
        }
        removeFolder(sick.folder)
        removeFolder(sound.folder)
      }
      return ratios
    }
    // The first pair warms up. On a busy machine single runs differ by half: then more of them are looked at.
    await measure(1)
    const ratios: number[] = []
    while (ratios.length === 0 || (median(ratios) < 0.9 && ratios.length < 27)) ratios.push(...(await measure(9)))
    const all = ratios.map((each) => each.toFixed(2)).join(' ')
    console.log(`throughput of other keys beside poison: ${median(ratios).toFixed(2)} × that without (${all})`)
    expect(median(ratios)).toBeGreaterThanOrEqual(0.9)
  })
})

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0
}
