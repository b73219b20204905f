import { afterEach, describe, expect, test } from 'vitest'
import type { App } from '../../src/index.ts'
import { audit, clean, readRows } from '../support/torture-audit.ts'
import { until } from '../support/torture-process.ts'
import { group, publishedFolder, Scene } from '../support/torture-scene.ts'
import { someOrders } from '../support/torture-workload.ts'
import { twoZombies } from '../support/torture-zombies.ts'

const leaseMs = 1_000
let observer: App<unknown> | undefined

afterEach(async () => {
  await observer?.stop()
  observer = undefined
})

async function published(orders = someOrders(6, 20), lease = leaseMs): Promise<Scene> {
  return new Scene(orders, { folder: await publishedFolder(orders), leaseMs: lease })
}

describe('a consumer frozen outside a transaction, past its lease', () => {
  test('is taken over; thawed, its next commit is fenced and nothing is applied twice', async () => {
    const orders = someOrders(6, 20)
    const scene = await published(orders)
    const zombie = scene.start({ role: 'consume', stays: true, halt: { at: 'consume:received', pass: 4, signal: 'SIGSTOP' } })
    await zombie.until('halted')
    const frozenAt = performance.now()
    await until(
      () => zombie.state === 'T',
      () => 'the consumer is stopped',
    )
    const before = scene.applied()
    expect(before).toBeLessThan(orders.length)

    const heir = scene.start({ role: 'consume', stays: true })
    await heir.until('event taken-over')
    console.log(`frozen consumer taken over after ${((performance.now() - frozenAt) / leaseMs).toFixed(2)} × its lease`)
    await until(
      () => readRows(scene.folder).heard.length >= orders.length,
      () => `all applied by the heir: ${heir.story()}`,
    )
    observer = scene.observer()
    const fenced = async (): Promise<number> => {
      const { groups } = (await observer?.status()) ?? { groups: [] }
      return groups.reduce((sum, each) => sum + each.fenced, 0)
    }
    expect(await fenced()).toBe(0)

    zombie.kill('SIGCONT')
    await until(
      async () => (await fenced()) > 0,
      () => `a commit is fenced: ${zombie.story()}`,
    )
    await zombie.until('event fenced')
    // It is an honest member again: with the heir gone, it does the work.
    await heir.stop()
    const later = scene.start({ role: 'publish', orders: someOrders(6, 25) })
    expect((await later.end()).code).toBe(0)
    await until(
      () => readRows(scene.folder).heard.length >= 150,
      () => `the thawed consumer goes on: ${zombie.story()}`,
    )
    expect((await zombie.stop()).code).toBe(0)
    expect(audit(scene.folder, someOrders(6, 25))).toEqual(clean)
  })

  test('a message that failed meanwhile keeps its place: two zombies, one after the other, break no order', async () => {
    const { audit: judged, fencedCommits } = await twoZombies()
    expect(judged).toEqual(clean)
    expect(fencedCommits).toBe(2)
  })
})

describe('a consumer frozen inside its transaction', () => {
  for (const then of ['SIGCONT', 'SIGKILL'] as const) {
    test(`other writers wait, status names its pid, and after ${then} work goes on`, async () => {
      const orders = someOrders(6, 20)
      const scene = await published(orders)
      const frozen = scene.start({ role: 'consume', stays: true, halt: { at: 'consume:applied', pass: 9, signal: 'SIGSTOP' } })
      await frozen.until('halted')
      await until(
        () => frozen.state === 'T',
        () => 'the consumer is stopped',
      )
      const applied = scene.applied()

      const more = someOrders(6, 22)
      const publisher = scene.start({ role: 'publish', orders: more })
      const other = scene.start({ role: 'consume', stays: true })
      // Opened only now: looking must not need the lock.
      observer = scene.observer()
      // Longer than the lease: that it has run out must not matter.
      const end = performance.now() + 2 * leaseMs
      while (performance.now() < end) {
        const { database } = await observer.status()
        expect(database.writeLockHolder).toEqual({ pid: frozen.pid })
        expect(publisher.lines).toEqual([])
        expect(other.said('event taken-over')).toBeUndefined()
        expect(publisher.child.exitCode).toBeNull()
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
      expect(readRows(scene.folder).receipts.filter((line) => line.endsWith('-21') || line.endsWith('-22'))).toEqual([])
      expect(scene.applied()).toBe(applied)

      frozen.kill(then)
      expect((await publisher.end()).code, publisher.story()).toBe(0)
      await until(
        () => readRows(scene.folder).heard.length >= more.length,
        () => `all heard: ${frozen.story()}\n${other.story()}`,
      )
      if (then === 'SIGCONT') expect((await frozen.stop()).code).toBe(0)
      else expect((await frozen.ended).signal).toBe('SIGKILL')
      expect((await other.stop()).code).toBe(0)
      expect(audit(scene.folder, more)).toEqual(clean)
    })
  }
})

test('a consumer killed with SIGKILL is replaced long before its lease ends', async () => {
  const longLeaseMs = 10_000
  const multiples: number[] = []
  for (let round = 0; round < 5; round++) {
    const orders = someOrders(6, 10)
    const scene = await published(orders, longLeaseMs)
    const first = scene.start({ role: 'consume', stays: true })
    await first.until('event assigned ledger/1')
    const second = scene.start({ role: 'consume', stays: true })
    observer = scene.observer()
    const owners = async (): Promise<number> => {
      const { partitions } = group((await observer?.status()) as Awaited<ReturnType<App<unknown>['status']>>, 'ledger')
      return new Set(partitions.map((partition) => partition.owner).filter((owner) => owner !== null)).size
    }
    await until(
      async () => (await owners()) === 2,
      () => `both own a partition: ${second.story()}`,
    )
    first.kill('SIGKILL')
    const killedAt = performance.now()
    await second.until('event taken-over')
    multiples.push((performance.now() - killedAt) / longLeaseMs)
    await observer.stop()
    expect((await second.stop()).code).toBe(0)
    await scene.finish()
    expect(audit(scene.folder, orders)).toEqual(clean)
  }
  multiples.sort((a, b) => a - b)
  console.log(`killed consumer taken over after ${multiples.map((each) => each.toFixed(3)).join(', ')} × its lease`)
  expect(multiples.at(-1)).toBeLessThan(0.25)
})
