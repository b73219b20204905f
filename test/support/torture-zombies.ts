import type { Audit } from './torture-audit.ts'
import { audit, readRows } from './torture-audit.ts'
import { removeFolder, until } from './torture-process.ts'
import { group, publishedFolder, Scene } from './torture-scene.ts'
import { someOrders } from './torture-workload.ts'

/**
 * Why a checkpoint alone does not make a zombie harmless. The first consumer freezes with 20 messages of one key in its
 * hands. The second takes over, fails on the first message, parks it with those behind it, and freezes too. Thawed, the first
 * would apply the third message before the first, and nothing but the epoch stops it.
 */
export async function twoZombies(program?: string): Promise<{ audit: Audit; fencedCommits: number }> {
  const orders = someOrders(1, 20)
  const options = program === undefined ? {} : { program }
  const scene = new Scene(orders, { ...options, folder: await publishedFolder(orders, options), leaseMs: 600 })
  const settings = { role: 'consume', stays: true, batchSize: 20, failing: ['k0-1'], failingForMs: 3_000 } as const
  const stopped = async (worker: ReturnType<Scene['start']>): Promise<void> => {
    await worker.until('halted')
    await until(
      () => worker.state === 'T',
      () => 'the consumer is stopped',
    )
  }

  const first = scene.start({ ...settings, halt: { at: 'consume:received', pass: 1, signal: 'SIGSTOP' } })
  await stopped(first)
  const second = scene.start({ ...settings, halt: { at: 'consume:committed', pass: 1, signal: 'SIGSTOP' } })
  await stopped(second)
  first.kill('SIGCONT')
  // The first is refused, takes part anew, and takes over from the second, which is refused in its turn.
  await first.until('event taken-over ledger')
  second.kill('SIGCONT')
  await until(
    () => readRows(scene.folder).heard.length >= orders.length,
    () => `all is heard: ${first.story()}\n${second.story()}`,
  )
  await Promise.all([first.stop(), second.stop()])
  const observer = scene.observer()
  const { fenced } = group(await observer.status(), 'ledger')
  await observer.stop()
  const judged = audit(scene.folder, orders)
  removeFolder(scene.folder)
  return { audit: judged, fencedCommits: fenced }
}
