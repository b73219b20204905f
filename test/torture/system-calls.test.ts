import { describe, expect, test } from 'vitest'
import { seededRandom } from '../../src/testing/index.ts'
import { audit, clean } from '../support/torture-audit.ts'
import { removeFolder } from '../support/torture-process.ts'
import { publishedFolder, Scene } from '../support/torture-scene.ts'
import { injecting, whyNoStrace } from '../support/torture-system-calls.ts'
import { someOrders } from '../support/torture-workload.ts'

const reason = whyNoStrace()
const orders = someOrders(6, 8)

describe.for(['publish', 'consume'] as const)('a process that has to %s', (role) => {
  test.for([
    { call: 'sync', kills: 30, upTo: 20 },
    { call: 'pwrite64', kills: 30, upTo: 60 },
  ] as const)(
    `killed at the n-th $call: what was acknowledged is there, nothing is twice`,
    async ({ call, kills, upTo }, context) => {
      if (reason !== undefined) return context.skip(reason)
      const random = seededRandom(5, role, call)
      const hit: number[] = []
      for (let round = 0; hit.length < kills; round++) {
        expect(round).toBeLessThan(kills)
        const scene = role === 'publish' ? new Scene(orders) : new Scene(orders, { folder: await publishedFolder(orders) })
        for (let ofFile = 0; ofFile < 6; ofFile++) {
          const first = 1 + Math.floor(random() * upTo)
          const worker = scene.start({ role }, { under: injecting({ call, first, effect: 'signal=SIGKILL' }) })
          const { code, signal } = await worker.end()
          if (code === 0) break
          expect(signal, worker.story()).toBe('SIGKILL')
          hit.push(first)
        }
        if (role === 'publish') expect((await scene.start({ role }).end()).code).toBe(0)
        await scene.finish()
        expect(audit(scene.folder, orders)).toEqual(clean)
        removeFolder(scene.folder)
      }
      console.log(`${role}: ${hit.length} kills at ${call}, the ${Math.min(...hit)}th to the ${Math.max(...hit)}th`)
    },
  )
})

describe('the disk fails to sync', () => {
  test('publisher: every failed COMMIT is an unknown outcome, and repeating it with the same identity ends well', async (context) => {
    if (reason !== undefined) return context.skip(reason)
    const random = seededRandom(6)
    let unknown = 0
    for (let round = 0; round < 12; round++) {
      const scene = new Scene(orders)
      const first = 8 + Math.floor(random() * 16)
      const last = first + (round % 3)
      const worker = scene.start({ role: 'publish' }, { under: injecting({ call: 'sync', first, last, effect: 'error=EIO' }) })
      expect((await worker.end()).code, worker.story()).toBe(0)
      const errors = worker.lines.filter((line) => line.startsWith('error '))
      expect(errors.filter((line) => !line.startsWith('error COMMIT_UNKNOWN unknown '))).toEqual([])
      unknown += errors.length
      await scene.finish()
      expect(audit(scene.folder, orders), worker.story()).toEqual(clean)
      removeFolder(scene.folder)
    }
    console.log(`publishers were told ${unknown} unknown outcomes`)
    expect(unknown).toBeGreaterThan(0)
  })

  test('consumer: every failed COMMIT is an unknown outcome; the messages are looked at again and applied once', async (context) => {
    if (reason !== undefined) return context.skip(reason)
    const random = seededRandom(7)
    let unknown = 0
    for (let round = 0; round < 12; round++) {
      const scene = new Scene(orders, { folder: await publishedFolder(orders) })
      const first = 3 + Math.floor(random() * 20)
      const last = first + (round % 3)
      const worker = scene.start({ role: 'consume' }, { under: injecting({ call: 'sync', first, last, effect: 'error=EIO' }) })
      const { code } = await worker.end()
      // Hit before it ran: start() rejects, and whoever runs the program starts it again.
      if (worker.said('started') === undefined) {
        expect(worker.stderr).toContain("code: 'COMMIT_UNKNOWN'")
        await scene.finish()
      } else expect(code, worker.story()).toBe(0)
      const errors = worker.lines.filter((line) => line.startsWith('event database-error'))
      expect(errors.filter((line) => !line.includes(' COMMIT_UNKNOWN unknown '))).toEqual([])
      unknown += errors.length
      expect(audit(scene.folder, orders), worker.story()).toEqual(clean)
      removeFolder(scene.folder)
    }
    console.log(`consumers were told ${unknown} unknown outcomes`)
    expect(unknown).toBeGreaterThan(0)
  })
})

test.for(['ENOSPC', 'EIO'] as const)(
  'every write fails with %s for a while: work goes on afterwards, nothing is lost or doubled',
  async (error, context) => {
    if (reason !== undefined) return context.skip(reason)
    const random = seededRandom(8, error)
    const told = { publish: 0, consume: 0 }
    for (let round = 0; round < 6; round++) {
      const scene = new Scene(orders, { folder: await publishedFolder([]) })
      for (const role of ['publish', 'consume'] as const) {
        const first = 20 + Math.floor(random() * 20)
        const injection = { call: 'pwrite64', first, last: first + 5 * round, effect: `error=${error}` } as const
        const worker = scene.start({ role }, { under: injecting(injection) })
        const { code } = await worker.end()
        told[role] += worker.lines.filter((line) => /^(error|event database-error)/.test(line)).length
        if (role === 'consume' && worker.said('started') === undefined) await scene.finish()
        else expect(code, `${first} ${worker.story()}`).toBe(0)
      }
      expect(audit(scene.folder, orders)).toEqual(clean)
      removeFolder(scene.folder)
    }
    console.log(`${error}: publishers were told ${told.publish} times, consumers ${told.consume} times`)
    expect(Math.min(told.publish, told.consume)).toBeGreaterThan(0)
  },
)
