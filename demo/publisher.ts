/**
 * The sender of the demo. Some webhooks it sends twice, at once or later, as GitHub does when it saw no answer. It remembers
 * nothing: killed and started again, it sends everything again from the first one, with the same delivery ids.
 */
import { seededRandom } from '../src/testing/index.ts'
import type { FromPublisher, PublisherConfig, ToPublisher } from './messages.ts'
import { openApp, webhooks } from './topology.ts'
import type { PlannedWebhook } from './webhooks.ts'
import { planWebhooks, webhookOf } from './webhooks.ts'

const chunkSize = 100
const config = JSON.parse(process.argv[2] ?? '') as PublisherConfig
const tell = (message: FromPublisher): void => void process.send?.(message)

let allowed = 0
let wake = (): void => {}
process.on('message', ({ upTo }: ToPublisher) => {
  allowed = upTo
  wake()
})
process.on('SIGINT', () => {})
process.on('disconnect', () => process.exit(3))

const { app, close } = openApp(config)
const plan = planWebhooks(config.messages, config.seed)
const random = seededRandom(config.seed, 'repeats')
const later: PlannedWebhook[] = []

for (let from = 0; from < plan.length || later.length > 0; from += chunkSize) {
  while (from >= allowed) {
    await new Promise<void>((resolve) => {
      wake = resolve
    })
  }
  const last = from + chunkSize >= plan.length
  const chunk: PlannedWebhook[] = later.splice(0, last ? later.length : Math.floor(later.length / 2))
  for (const webhook of plan.slice(from, from + chunkSize)) {
    chunk.push(webhook)
    if (random() >= config.duplicates) continue
    if (random() < 0.5) chunk.push(webhook)
    else later.push(webhook)
  }
  if (last) chunk.push(...later.splice(0))
  const receipts = await publish(chunk, (from / chunkSize) % 4 === 3)
  const duplicates = receipts.filter(({ status }) => status === 'duplicate').length
  tell({ kind: 'published', upTo: Math.min(from + chunkSize, plan.length), duplicates })
}
await app.stop()
await close()
tell({ kind: 'done' })
process.disconnect?.()

/** Both ways of publishing have the same guarantee; the second shares commits between calls that know nothing of each other. */
function publish(chunk: readonly PlannedWebhook[], oneByOne: boolean) {
  if (!oneByOne)
    return app.publishMany(
      webhooks,
      chunk.map((each) => ({ data: webhookOf(each) })),
    )
  return Promise.all(chunk.map((each) => app.publish(webhooks, webhookOf(each))))
}
