import type { Semantics } from '../src/consume/consume-options.ts'
import type { TopologyOptions } from './topology.ts'

/** What the parent tells its children as the command line, and what they tell each other while they run. */
export interface WorkerConfig extends TopologyOptions {
  /** For files of its own. */
  readonly dir: string
  readonly semantics: Semantics
  readonly stateFile: string
}

export interface PublisherConfig extends TopologyOptions {
  readonly messages: number
  readonly duplicates: number
}

export type ToWorker =
  | { readonly kind: 'die-at'; readonly point: string; readonly passes: number }
  | { readonly kind: 'tell-when-idle' }
  | { readonly kind: 'stop' }

export type FromWorker = { readonly kind: 'ready' } | { readonly kind: 'idle' }

export type ToPublisher = { readonly kind: 'allow'; readonly upTo: number }

export type FromPublisher =
  | { readonly kind: 'published'; readonly upTo: number; readonly duplicates: number }
  | { readonly kind: 'done' }
