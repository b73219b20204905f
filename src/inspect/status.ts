/** The read model behind `onefold status`, the gateway and the console. Counts are numbers; offsets are strings. */
export interface DatabaseStatus {
  readonly database: {
    readonly file: string
    readonly incarnation: string
    readonly schemaVersion: number
    readonly bytes: number
    readonly walBytes: number
    /** The process holding the write lock at this moment, where the system can tell. */
    readonly writeLockHolder: { readonly pid: number } | null
    /** It has been moved there, or is being moved (`onefold move`), and only reading works here. */
    readonly movedTo?: string
  }
  readonly topics: readonly TopicStatus[]
  readonly groups: readonly GroupStatus[]
  readonly owners: readonly OwnerStatus[]
  /** Published with `deliverAt`, and not due yet. */
  readonly scheduled: number
  readonly schedules: readonly ScheduleStatus[]
  readonly outbox: OutboxStatus
  readonly dedupWindows: readonly DedupWindowStatus[]
}

/** What a broker outside this database does not have yet. */
export interface OutboxStatus {
  /** To be sent, or sent and not confirmed. */
  readonly unsent: number
  /** How long the oldest of them has been there, in ms; null when there is none. */
  readonly oldestAgeMs: number | null
  /** The broker will never take them as they are (another body under a known id): they wait for somebody to look. */
  readonly refused: number
}

/** The identities that a topic (at publish) or a group (its inbox) remembers. */
export interface DedupWindowStatus {
  readonly name: string
  readonly topic: string
  /** Null: of the topic, at publish. */
  readonly group: string | null
  readonly ids: number
  readonly generations: number
  /** Everything received since so long ago is remembered, in ms; never negative, whatever the clock did. */
  readonly liveMs: number
  /** `dedupWindow` as the process that looks after the file has it; null as long as none has. */
  readonly windowMs: number | null
  readonly maxIds: number | null
  /** It reaches back less far than configured: ids were forgotten before their time, because there were too many. */
  readonly shrunk: boolean
  /** A message published up to this time may have been received and forgotten; null: nothing was. Milliseconds since 1970. */
  readonly forgottenMs: number | null
  /** So many new ids, or so much time, until the oldest ids are forgotten. Null where the configuration is not known. */
  readonly headroom: { readonly ids: number | null; readonly ms: number | null }
}

export interface TopicStatus {
  readonly name: string
  /** Stored now (retention removes applied ones). */
  readonly messages: number
  /** Ever accepted. */
  readonly accepted: number
  /** Publishes recognised as repeats. */
  readonly duplicates: number
  readonly keyed: boolean | null
  readonly idReuse: 'error' | 'ignore'
  readonly partitions: readonly { readonly partition: string; readonly firstOffset: string; readonly lastOffset: string }[]
}

export interface GroupStatus {
  readonly topic: string
  readonly group: string
  readonly semantics: string
  readonly applied: number
  /** Deliveries recognised as already received and not applied again. */
  readonly suppressed: number
  /** Messages in the log that the group has not come to yet; null where the broker is not this database. */
  readonly lag: number | null
  /** Waiting for a later attempt or behind such a message. */
  readonly parked: number
  /** Waiting for a person. */
  readonly attention: number
  /** Commits of late owners that the fence refused. */
  readonly fenced: number
  /** Age of the oldest message not yet applied, in ms; null when there is none. */
  readonly oldestAgeMs: number | null
  readonly partitions: readonly {
    readonly partition: string
    readonly offset: string | null
    readonly epoch: string
    readonly owner: number | null
  }[]
}

export interface ScheduleStatus {
  readonly topic: string
  readonly name: string
  readonly pattern: string
  readonly timeZone: string
  /** Instants up to and including this one have been published or given up. */
  readonly lastMs: number
  /** The next one; in the past when it is overdue. Null when it is not known. */
  readonly nextMs: number | null
  readonly fired: number
  /** Given up: due while no process ran, or clocks jumped. */
  readonly missed: number
}

export interface OwnerStatus {
  readonly owner: number
  readonly pid: number
  readonly host: string
  readonly alive: 'alive' | 'dead' | 'unknown'
  readonly leases: number
  readonly untilMs: number
}
