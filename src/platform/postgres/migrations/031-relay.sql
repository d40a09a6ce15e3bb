-- Where EventStoreDB holds the events: the relay's place in $all, its writing of the outbox, and the claims of commands.

CREATE TABLE relay_checkpoint (
  ledger text COLLATE "C" PRIMARY KEY CHECK (ledger ~ '^[a-z0-9][a-z0-9-]{0,39}$'),
  -- Both: positions of $all are pairs, and events of one append share the first.
  commit_position bigint NOT NULL CHECK (commit_position >= 0),
  prepare_position bigint NOT NULL CHECK (prepare_position >= 0),
  moved_at timestamptz NOT NULL
) WITH (fillfactor = 20); -- one row, updated with every batch: room for its versions on the page (HOT)

COMMENT ON TABLE relay_checkpoint IS 'Everything of the ledger up to this position of $all is in the outbox: both move in one transaction.';

-- The intent to append, written before anything is sent. It says where the append can come to be: on this stream, directly after
-- this revision, and nowhere else. As long as the stream has not gone past that revision, the append may still arrive, however
-- late; so nobody gives the key another outcome before that. The claim's time only says when others may look into it.
CREATE TABLE command_claim (
  ledger text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL CHECK (octet_length(key) BETWEEN 1 AND 255),
  request_hash bytea NOT NULL CHECK (octet_length(request_hash) = 32),
  owner uuid NOT NULL,
  attempt uuid NOT NULL,
  -- Null: nothing was sent.
  stream text COLLATE "C",
  expected bigint, -- revision in EventStoreDB, -1: no stream
  replaces uuid, -- the attempt before, which cannot come to be any more
  claimed_at timestamptz NOT NULL,
  expires_at timestamptz NOT NULL,
  PRIMARY KEY (ledger, key),
  CHECK ((stream IS NULL) = (expected IS NULL))
);

COMMENT ON TABLE command_claim IS 'Idempotency keys whose append to EventStoreDB is under way or of unknown outcome. The relay removes them.';

-- A ledger's outbox is filled by its own appends or by the relay, never by both: a process that is configured for the other one
-- is refused.
CREATE FUNCTION refuse_beside_relay() RETURNS trigger LANGUAGE plpgsql VOLATILE SECURITY DEFINER
  SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
  IF (SELECT true FROM relay_checkpoint WHERE ledger = NEW.ledger)
     AND current_setting('tallystick.relaying', true) IS DISTINCT FROM NEW.ledger THEN
    RAISE EXCEPTION 'the events of ledger % are in EventStoreDB: EVENT_STORE must be eventstoredb', NEW.ledger
      USING ERRCODE = 'feature_not_supported';
  END IF;
  RETURN NEW;
END $$;

CREATE TRIGGER ledger_head_of_relay BEFORE UPDATE ON ledger_head
  FOR EACH ROW EXECUTE FUNCTION refuse_beside_relay();
ALTER TABLE ledger_head ENABLE ALWAYS TRIGGER ledger_head_of_relay;

-- Inserts what the relay read from $all, in its order, and moves the relay's checkpoint.
--
-- Per event: its columns; recorded: null, or the time in milliseconds that an imported event keeps. Per outcome: key, request hash,
-- outcome and the number of the command's last event. One call is one transaction. Refused with TY001 where the lease has been
-- taken over (the epoch is another), with TY002 where the checkpoint is not where this relay left it, with TY003 where the outbox
-- was filled otherwise.
CREATE FUNCTION relay_events(
  p_ledger text, p_epoch bigint,
  p_from_commit bigint, p_from_prepare bigint, p_to_commit bigint, p_to_prepare bigint,
  p_streams text[], p_revisions bigint[], p_ids uuid[], p_types text[], p_versions int[], p_data jsonb[], p_metadata jsonb[],
  p_recorded bigint[], p_keys text[], p_hashes bytea[], p_outcomes json[], p_last int[]
) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
  SET search_path = pg_catalog, public, pg_temp
  SET enable_seqscan = off SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  v_from record;
  v_head record;
  v_now timestamptz(3);
  v_is_first boolean := false;
BEGIN
  -- Shared: whoever takes the lease over waits for this transaction, and what comes after it is refused here.
  PERFORM FROM lease WHERE ledger = p_ledger AND role = 'relay' AND epoch = p_epoch FOR SHARE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'the relay of ledger % has lost its lease: another one has taken over', p_ledger USING ERRCODE = 'TY001';
  END IF;
  IF p_from_commit IS NULL THEN
    -- Waits for a first batch that is being written at this moment: one whose caller has given it up may still be committed.
    INSERT INTO relay_checkpoint VALUES (p_ledger, 0, 0, clock_timestamp()) ON CONFLICT (ledger) DO NOTHING;
    v_is_first := FOUND;
  END IF;
  SELECT commit_position, prepare_position INTO v_from FROM relay_checkpoint WHERE ledger = p_ledger FOR UPDATE;
  IF NOT v_is_first AND
     (v_from.commit_position IS DISTINCT FROM p_from_commit OR v_from.prepare_position IS DISTINCT FROM p_from_prepare) THEN
    RAISE EXCEPTION 'the relay of ledger % stands at %/%, not at %/%', p_ledger,
      v_from.commit_position, v_from.prepare_position, p_from_commit, p_from_prepare USING ERRCODE = 'TY002';
  END IF;
  IF v_is_first AND (SELECT position > 0 FROM ledger_head WHERE ledger = p_ledger) THEN
    RAISE EXCEPTION 'the outbox of ledger % was filled without EventStoreDB: export it, and import it with another database', p_ledger
      USING ERRCODE = 'TY003';
  END IF;
  PERFORM set_config('tallystick.relaying', p_ledger, true);
  IF (p_to_commit, p_to_prepare) < (p_from_commit, p_from_prepare) THEN
    RAISE EXCEPTION 'the relay of ledger % must not go back', p_ledger USING ERRCODE = 'TY002';
  END IF;

  IF cardinality(p_ids) > 0 THEN
    SELECT position, recorded_at INTO v_head FROM ledger_head WHERE ledger = p_ledger FOR NO KEY UPDATE;
    IF NOT FOUND THEN
      INSERT INTO ledger_head VALUES (p_ledger, 0, 'epoch') ON CONFLICT (ledger) DO NOTHING;
      SELECT position, recorded_at INTO v_head FROM ledger_head WHERE ledger = p_ledger FOR NO KEY UPDATE;
    END IF;
    v_now := greatest(date_trunc('milliseconds', clock_timestamp()), v_head.recorded_at);
    IF p_recorded IS NULL THEN
      INSERT INTO outbox
        (ledger, position, id, stream, revision, type, schema_version, data, metadata, recorded_at, traceparent)
      SELECT p_ledger, v_head.position + e.i, e.id, e.stream, e.revision, e.type, e.version, e.data, e.metadata, v_now,
             e.metadata ->> 'traceparent'
      FROM unnest(p_ids, p_streams, p_revisions, p_types, p_versions, p_data, p_metadata)
           WITH ORDINALITY AS e(id, stream, revision, type, version, data, metadata, i);
    ELSE
      -- Imported events keep their time, as far as time does not go back and does not lie ahead.
      INSERT INTO outbox
        (ledger, position, id, stream, revision, type, schema_version, data, metadata, recorded_at, traceparent)
      SELECT p_ledger, v_head.position + e.i, e.id, e.stream, e.revision, e.type, e.version, e.data, e.metadata,
             greatest(v_head.recorded_at, max(least(v_now,
               coalesce(timestamptz 'epoch' + e.recorded * interval '1 millisecond', v_now))) OVER (ORDER BY e.i)),
             e.metadata ->> 'traceparent'
      FROM unnest(p_ids, p_streams, p_revisions, p_types, p_versions, p_data, p_metadata, p_recorded)
           WITH ORDINALITY AS e(id, stream, revision, type, version, data, metadata, recorded, i);
    END IF;
    IF cardinality(p_keys) > 0 THEN
      INSERT INTO command_outcome (ledger, key, request_hash, outcome, position, recorded_at)
      SELECT p_ledger, k.key, k.hash, k.outcome, v_head.position + k.last, v_now
      FROM unnest(p_keys, p_hashes, p_outcomes, p_last) AS k(key, hash, outcome, last);
      -- In the order in which claims are made.
      DELETE FROM command_claim c
      USING (SELECT ledger, key FROM command_claim WHERE ledger = p_ledger AND key = ANY (p_keys) ORDER BY key FOR UPDATE) k
      WHERE c.ledger = k.ledger AND c.key = k.key;
    END IF;
    PERFORM pg_notify('tallystick_outbox', p_ledger || ':' || v_head.position + cardinality(p_ids));
  END IF;

  INSERT INTO relay_checkpoint VALUES (p_ledger, p_to_commit, p_to_prepare, clock_timestamp())
  ON CONFLICT (ledger) DO UPDATE SET
    commit_position = EXCLUDED.commit_position, prepare_position = EXCLUDED.prepare_position, moved_at = EXCLUDED.moved_at;
END $$;

-- Claims keys for appends that are about to be sent, each with the place where it can come to be. Keys with an outcome are
-- rejections: they get it at once, for good, unless something that was sent before may still come to be.
--
-- replaces: the attempt before, of which the caller has seen in the stream that it cannot come to be any more.
-- Answers per key - claimed; rejected; used: it has an outcome; held: another one's, still valid; open: an earlier attempt, which is
-- to be looked into first; again: it changed at this moment.
CREATE FUNCTION claim_commands(
  p_ledger text, p_owner uuid, p_ttl_ms integer,
  p_keys text[], p_hashes bytea[], p_streams text[], p_expected bigint[], p_attempts uuid[], p_replaces uuid[], p_outcomes json[]
) RETURNS TABLE (
  key text, kind text, repeated boolean, request_hash text, outcome json, "position" bigint, recorded_at timestamptz,
  attempt uuid, stream text, expected bigint
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
  SET search_path = pg_catalog, public, pg_temp
  SET enable_seqscan = off SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  v_claimed text[];
  v_repeated text[];
  v_used text[];
  v_rejected text[];
BEGIN
  -- In the order of the keys: two that claim the same ones wait for each other and never in a circle.
  WITH claimed AS (
    INSERT INTO command_claim AS c
      (ledger, key, request_hash, owner, attempt, stream, expected, replaces, claimed_at, expires_at)
    SELECT p_ledger, k.key, k.hash, p_owner, k.attempt, k.stream, k.expected, k.replaces, clock_timestamp(),
           clock_timestamp() + p_ttl_ms * interval '1 millisecond'
    FROM unnest(p_keys, p_hashes, p_streams, p_expected, p_attempts, p_replaces) AS k(key, hash, stream, expected, attempt, replaces)
    ORDER BY k.key
    ON CONFLICT (ledger, key) DO UPDATE SET
      request_hash = EXCLUDED.request_hash, owner = EXCLUDED.owner, attempt = EXCLUDED.attempt, stream = EXCLUDED.stream,
      expected = EXCLUDED.expected, replaces = EXCLUDED.replaces, claimed_at = EXCLUDED.claimed_at,
      expires_at = EXCLUDED.expires_at
    WHERE (c.owner = EXCLUDED.owner OR c.expires_at <= clock_timestamp())
      AND (c.stream IS NULL OR c.attempt = EXCLUDED.replaces
           OR (c.stream = EXCLUDED.stream AND c.expected = EXCLUDED.expected))
    RETURNING c.key, c.xmax <> 0 AS repeated
  )
  SELECT array_agg(claimed.key), array_agg(claimed.key) FILTER (WHERE claimed.repeated) INTO v_claimed, v_repeated FROM claimed;

  -- After the claims: an outcome that was committed while we waited for a row is seen here.
  SELECT array_agg(k.key) INTO v_used FROM unnest(p_keys) AS k(key)
  WHERE (SELECT true FROM command_outcome o WHERE o.ledger = p_ledger AND o.key = k.key);

  WITH rejected AS (
    INSERT INTO command_outcome (ledger, key, request_hash, outcome, position, recorded_at)
    SELECT p_ledger, k.key, k.hash, k.outcome, NULL, clock_timestamp()
    FROM unnest(p_keys, p_hashes, p_outcomes) AS k(key, hash, outcome)
    WHERE k.outcome IS NOT NULL AND k.key = ANY (v_claimed) AND NOT k.key = ANY (coalesce(v_used, '{}'))
    RETURNING command_outcome.key
  )
  SELECT array_agg(rejected.key) INTO v_rejected FROM rejected;

  DELETE FROM command_claim c
  WHERE c.ledger = p_ledger AND c.owner = p_owner
    AND (c.key = ANY (coalesce(v_used, '{}')) OR c.key = ANY (coalesce(v_rejected, '{}')));

  RETURN QUERY
  SELECT k.key,
    CASE
      WHEN k.key = ANY (v_rejected) THEN 'rejected'
      WHEN o.key IS NOT NULL THEN 'used'
      WHEN k.key = ANY (v_claimed) THEN 'claimed'
      WHEN c.key IS NULL OR c.stream IS NULL AND c.expires_at <= clock_timestamp() THEN 'again'
      -- The same place: claimed as soon as it can be.
      WHEN c.stream = k.stream AND c.expected = k.expected AND c.owner <> p_owner THEN 'held'
      WHEN c.owner = p_owner OR c.expires_at <= clock_timestamp() THEN 'open'
      ELSE 'held'
    END,
    coalesce(k.key = ANY (v_repeated), false),
    encode(o.request_hash, 'hex'), o.outcome, o.position, o.recorded_at, c.attempt, c.stream, c.expected
  FROM unnest(p_keys, p_streams, p_expected) WITH ORDINALITY AS k(key, stream, expected, n)
  LEFT JOIN LATERAL (SELECT * FROM command_outcome o WHERE o.ledger = p_ledger AND o.key = k.key LIMIT 1) o ON true
  LEFT JOIN LATERAL (SELECT * FROM command_claim c WHERE c.ledger = p_ledger AND c.key = k.key LIMIT 1) c ON true
  ORDER BY k.n;
END $$;

-- Gives claims back whose attempt cannot come to be any more: nothing of the key was appended.
CREATE FUNCTION release_claims(p_ledger text, p_owner uuid, p_keys text[], p_attempts uuid[]) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
  SET search_path = pg_catalog, public, pg_temp
  SET enable_seqscan = off SET enable_bitmapscan = off
AS $$
  DELETE FROM command_claim c
  USING (SELECT l.ledger, l.key FROM unnest(p_keys, p_attempts) AS k(key, attempt)
         JOIN command_claim l ON l.ledger = p_ledger AND l.key = k.key AND l.attempt = k.attempt AND l.owner = p_owner
         ORDER BY l.key FOR UPDATE OF l) k
  WHERE c.ledger = k.ledger AND c.key = k.key
$$;

-- Where appends of EventStoreDB stand in the outbox: by the id of their last event; with the outcome of their key, if they have one.
CREATE FUNCTION relayed_appends(p_ledger text, p_ids uuid[], p_keys text[])
RETURNS TABLE (n bigint, "position" bigint, recorded_at timestamptz, request_hash text, outcome json, outcome_position bigint)
LANGUAGE sql STABLE SECURITY DEFINER
  SET search_path = pg_catalog, public, pg_temp
  SET enable_seqscan = off SET enable_bitmapscan = off
AS $$
  SELECT w.n, e.position, e.recorded_at, encode(o.request_hash, 'hex'), o.outcome, o.position
  FROM unnest(p_ids, p_keys) WITH ORDINALITY AS w(id, key, n)
  LEFT JOIN LATERAL (SELECT e.position, e.recorded_at FROM outbox e WHERE e.id = w.id AND e.ledger = p_ledger LIMIT 1) e ON true
  LEFT JOIN LATERAL (SELECT o.request_hash, o.outcome, o.position FROM command_outcome o
                     WHERE o.ledger = p_ledger AND o.key = w.key LIMIT 1) o ON true
  WHERE e.position IS NOT NULL OR o.request_hash IS NOT NULL
$$;

REVOKE ALL ON FUNCTION refuse_beside_relay, relay_events, claim_commands, release_claims, relayed_appends FROM PUBLIC;

DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'tallystick_app') THEN
    GRANT SELECT ON relay_checkpoint, command_claim TO tallystick_app;
    GRANT EXECUTE ON FUNCTION relay_events, claim_commands, release_claims, relayed_appends TO tallystick_app;
  END IF;
END $$;
