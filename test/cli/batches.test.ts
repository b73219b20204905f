import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Batches } from '../../src/cli/batches.ts'

/** A receiver that answers when told. */
function manual() {
  const batches: number[][] = []
  const open: { resolve: () => void; reject: (error: Error) => void }[] = []
  const send = (items: readonly number[]) => {
    batches.push([...items])
    return new Promise<void>((resolve, reject) => open.push({ resolve, reject }))
  }
  const turn = async () => {
    for (let i = 0; i < 10; i++) await Promise.resolve()
  }
  return { batches, open, send, turn }
}

describe('batches', () => {
  test('a trickle is sent at once; what arrives meanwhile travels together', async () => {
    const { batches, open, send, turn } = manual()
    const out = new Batches<number>({ maxItems: 10, maxBytes: 100, send })
    void out.add(1, 1)
    out.flush()
    expect(batches).toEqual([[1]])
    void out.add(2, 1)
    out.flush()
    void out.add(3, 1)
    out.flush()
    expect(batches).toEqual([[1]])
    open[0]?.resolve()
    await turn()
    expect(batches).toEqual([[1], [2, 3]])
  })

  test('add waits while one batch is under way and the next is full', async () => {
    const { batches, open, send, turn } = manual()
    const out = new Batches<number>({ maxItems: 2, maxBytes: 100, send })
    void out.add(1, 1)
    void out.add(2, 1)
    await turn()
    expect(batches).toEqual([[1, 2]])
    expect(out.add(3, 1)).toBeUndefined()
    let added = false
    void Promise.resolve(out.add(4, 1)).then(() => {
      added = true
    })
    await turn()
    expect(added).toBe(false)
    open[0]?.resolve()
    await turn()
    expect(batches).toEqual([
      [1, 2],
      [3, 4],
    ])
    expect(added).toBe(true)
  })

  test('a batch is bounded in bytes', async () => {
    const { batches, send, turn } = manual()
    const out = new Batches<number>({ maxItems: 1000, maxBytes: 10, send })
    void out.add(1, 9)
    expect(batches).toEqual([])
    void out.add(2, 1)
    await turn()
    expect(batches).toEqual([[1, 2]])
  })

  test('after a failure nothing more is sent, and everybody hears of it', async () => {
    const { batches, open, send, turn } = manual()
    const out = new Batches<number>({ maxItems: 2, maxBytes: 100, send })
    void out.add(1, 1)
    out.flush()
    void out.add(2, 1)
    open[0]?.reject(new Error('disk full'))
    await turn()
    expect(() => out.flush()).toThrow('disk full')
    await expect(out.finish()).rejects.toThrow('disk full')
    expect(batches).toEqual([[1]])
  })

  test('everything added is sent once and in order, whatever the timing', async () => {
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), fc.array(fc.nat(12), { maxLength: 40 }), async (scheduler, sizes) => {
        const sent: number[] = []
        let underWay = 0
        const send = async (items: readonly number[]) => {
          expect(++underWay).toBe(1)
          await scheduler.schedule(Promise.resolve())
          sent.push(...items)
          underWay -= 1
        }
        const out = new Batches<number>({ maxItems: 4, maxBytes: 30, send })
        const work = (async () => {
          for (const [index, size] of sizes.entries()) {
            await out.add(index, size)
            if (size % 3 === 0) out.flush()
          }
          await out.finish()
        })()
        await scheduler.waitFor(work)
        expect(sent).toEqual(sizes.map((_, index) => index))
      }),
    )
  })
})
