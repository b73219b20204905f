/** One process of backlog.ts: publishes a part of the messages, or works until it is told to stop. */
import type { Booking } from '../message.ts'
import { bookings } from '../message.ts'
import { inChild } from './child.ts'
import { accounts, batchSize } from './job.ts'
import type { OnefoldSettings } from './with-onefold.ts'
import { withOnefold } from './with-onefold.ts'

export interface BacklogProcessOptions {
  readonly url: string
  readonly settings: OnefoldSettings
  /** From the first to before the last of the messages; absent: a worker. */
  readonly publishes?: { readonly from: number; readonly to: number }
}

const { options, say, told } = inChild<BacklogProcessOptions>()
let first = true
const subject = withOnefold(
  {
    url: options.url,
    style: 'set-based',
    beforeCommit: async () => {
      if (first) say('applied')
      first = false
    },
  },
  options.settings,
)

/** Every twentieth of a batch again in the next one, as in the other measurements. */
function* batches({ from, to }: { from: number; to: number }): Generator<readonly Booking[]> {
  let again: readonly Booking[] = []
  for (let at = from; at < to; at += batchSize) {
    const batch = bookings(at, Math.min(batchSize, to - at), 'ordered', accounts)
    yield [...batch, ...again]
    again = batch.filter((_, index) => index % 20 === 0)
  }
  if (again.length > 0) yield again
}

await subject.prepare()
say('ready')
await told('go')
if (options.publishes === undefined) {
  await subject.consume()
  await told('stop')
} else {
  // One more under way, so that the server need not wait while a batch is made.
  let before: Promise<void> | undefined
  for (const batch of batches(options.publishes)) {
    const published = subject.publish(batch)
    await before
    before = published
  }
  await before
  say('published')
}
await subject.stop()
process.disconnect()
