import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { audit, clean } from '../support/torture-audit.ts'
import { removeFolder, temporaryFolder, Worker } from '../support/torture-process.ts'
import { Scene } from '../support/torture-scene.ts'
import { someOrders } from '../support/torture-workload.ts'
import type { WriterConfig, WriterReport } from '../support/torture-writer.ts'

test('ten processes that open a new file at the same moment: all start, and their work is done once', async () => {
  for (let round = 0; round < 5; round++) {
    const orders = someOrders(6, 15)
    const scene = new Scene(orders, { folder: temporaryFolder() })
    // Five publish the same messages, each in the same order; five consume.
    const processes = Array.from({ length: 10 }, (_, index) =>
      scene.start({ role: index % 2 === 0 ? 'publish' : 'consume', waits: true, seed: index }),
    )
    await Promise.all(processes.map((each) => each.until('ready')))
    for (const each of processes) each.go()
    for (const each of processes) expect((await each.end()).code, each.story()).toBe(0)
    expect(audit(scene.folder, orders)).toEqual(clean)
    removeFolder(scene.folder)
  }
})

test('three busy writers: each gets its share of commits, and none waits long for its turn', async () => {
  const folder = temporaryFolder()
  const program = fileURLToPath(new URL('../support/torture-writer.ts', import.meta.url))
  const forMs = 5_000
  const writers = ['a', 'b', 'c'].map(
    (name) => new Worker(program, { file: join(folder, 'app.db'), name, forMs } satisfies WriterConfig),
  )
  await Promise.all(writers.map((writer) => writer.until('ready')))
  for (const writer of writers) writer.go()
  const reports = await Promise.all(
    writers.map(async (writer) => JSON.parse((await writer.until('report')).slice('report '.length)) as WriterReport),
  )
  for (const writer of writers) expect((await writer.end()).code).toBe(0)
  for (const { name, commits, p50, p99, worst, longestPauseMs } of reports) {
    const waits = `p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms, worst ${worst.toFixed(1)} ms`
    console.log(`writer ${name}: ${commits} commits; waited for the lock ${waits}; longest pause ${longestPauseMs.toFixed(1)} ms`)
  }
  const commits = reports.map((report) => report.commits)
  expect(Math.min(...commits)).toBeGreaterThanOrEqual(Math.max(...commits) / 4)
  // No one is left standing for a noticeable part of the run.
  expect(Math.max(...reports.map((report) => report.longestPauseMs))).toBeLessThan(forMs / 4)
})
