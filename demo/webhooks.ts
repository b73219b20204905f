import { createHash } from 'node:crypto'
import definitions from '@octokit/webhooks-examples' with { type: 'json' }
import { seededRandom } from '../src/testing/seeded-random.ts'
import type { Sent } from './audit.ts'

/** What GitHub would send: one event of one repository, with the id of its delivery. */
export interface Webhook {
  /** GitHub's `X-GitHub-Delivery`. A repeat carries the same id and the same body. */
  readonly delivery: string
  readonly event: string
  readonly repository: string
  /** Counts 1, 2, 3 … per repository, so that the audit can see the order in which effects landed. */
  readonly n: number
  /** What is added up per repository. */
  readonly amount: number
  readonly payload: unknown
}

interface Example {
  readonly event: string
  readonly payload: Readonly<Record<string, unknown>>
}

/** The package's types do not see that its JSON is the default export. */
const events = definitions as unknown as readonly { name: string; examples: Readonly<Record<string, unknown>>[] }[]

const examples: readonly Example[] = events.flatMap(({ name, examples: payloads }) =>
  payloads.map((payload) => ({ event: name, payload })),
)

export const exampleCount = examples.length
export const eventCount = events.length

/** The examples come from 14 repositories only; each is taken for this many, so that there are some hundred keys. */
const variants = 40

export interface PlannedWebhook extends Sent {
  readonly example: number
}

/** The list of all webhooks of a run, without their bodies: the same count and seed give the same list in every process. */
export function planWebhooks(count: number, seed: number): readonly PlannedWebhook[] {
  const random = seededRandom(seed, 'webhooks')
  const sentTo = new Map<string, number>()
  return Array.from({ length: count }, (_, index) => {
    const example = Math.floor(random() * examples.length)
    const repository = `${repositoryOf(examples[example]?.payload)}-${String(Math.floor(random() * variants)).padStart(2, '0')}`
    const n = (sentTo.get(repository) ?? 0) + 1
    sentTo.set(repository, n)
    return { delivery: guid(seed, index), repository, n, amount: 1 + Math.floor(random() * 100), example }
  })
}

/** The body of a planned webhook: a real payload, moved to the repository of the plan. */
export function webhookOf(plan: PlannedWebhook): Webhook {
  const { event, payload } = examples[plan.example] ?? { event: 'ping', payload: {} }
  const name = plan.repository.slice(plan.repository.indexOf('/') + 1)
  const moved = isRecord(payload.repository)
    ? { ...payload, repository: { ...payload.repository, name, full_name: plan.repository } }
    : payload
  return { delivery: plan.delivery, event, repository: plan.repository, n: plan.n, amount: plan.amount, payload: moved }
}

/** Some events belong to an organization and name no repository. */
function repositoryOf(payload: Readonly<Record<string, unknown>> | undefined): string {
  const repository = payload?.repository
  return isRecord(repository) && typeof repository.full_name === 'string' ? repository.full_name : 'octo-org/no-repository'
}

function guid(seed: number, index: number): string {
  const hex = createHash('sha256').update(`${seed}/${index}`).digest('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
