-- The ledger's total order. One row is one event and its outbox entry; rows are added and never changed.
-- Triggers, not the application, keep the order: whoever inserts, positions and revisions cannot skip or repeat, time
-- cannot go back, and nothing can be changed or removed.

-- Names compare by bytes (COLLATE "C"): the fastest, and the indexes do not depend on the server's locale library.
CREATE TABLE ledger_head (
  ledger text COLLATE "C" PRIMARY KEY CHECK (ledger ~ '^[a-z0-9][a-z0-9-]{0,39}$'),
  position bigint NOT NULL CHECK (position >= 0),
  recorded_at timestamptz(3) NOT NULL
) WITH (fillfactor = 20); -- one row, updated with every batch: room for its versions on the page (HOT)

COMMENT ON TABLE ledger_head IS 'Last position of each ledger. Its row is the lock that serialises appends.';

CREATE TABLE outbox (
  ledger text COLLATE "C" NOT NULL,
  position bigint NOT NULL,
  id uuid NOT NULL,
  stream text COLLATE "C" NOT NULL CHECK (octet_length(stream) BETWEEN 1 AND 200),
  revision bigint NOT NULL CHECK (revision >= 0),
  type text COLLATE "C" NOT NULL CHECK (octet_length(type) BETWEEN 1 AND 100),
  schema_version integer NOT NULL CHECK (schema_version >= 1),
  -- The limit of 512 KiB is checked on the JSON text, before it comes here. Binary JSON of small numbers is up to six times
  -- as long as its text; this is the backstop, which need not turn the document into text again.
  data jsonb NOT NULL CHECK (pg_column_size(data) <= 4194304),
  metadata jsonb NOT NULL CHECK (pg_column_size(metadata) <= 262144),
  -- Whole milliseconds: what a client reads is exactly what it can ask for.
  recorded_at timestamptz(3) NOT NULL,
  -- W3C trace context of who caused the event, as in its metadata: what streams rows (logical decoding) hands it on as a header,
  -- without reading JSON. A plain column: a generated one is not published before PostgreSQL 18.
  traceparent text COLLATE "C" CHECK (traceparent IS NOT DISTINCT FROM metadata ->> 'traceparent'),
  PRIMARY KEY (ledger, position),
  UNIQUE (ledger, stream, revision),
  UNIQUE (id)
);

-- Not compressed: the size that readers bound their pages by is then the real one, and a replay need not decompress.
ALTER TABLE outbox ALTER COLUMN data SET STORAGE EXTERNAL;
ALTER TABLE outbox ALTER COLUMN metadata SET STORAGE EXTERNAL;

COMMENT ON TABLE outbox IS 'The events of all ledgers, in each ledger''s total order: positions 1, 2, 3 ... without gaps.';

CREATE TABLE command_outcome (
  ledger text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL CHECK (octet_length(key) BETWEEN 1 AND 255),
  request_hash bytea NOT NULL CHECK (octet_length(request_hash) = 32),
  -- json, not jsonb: a replay answers with the members in the order of the first answer.
  outcome json NOT NULL,
  position bigint, -- of the command's last event; null for a rejection
  recorded_at timestamptz(3) NOT NULL,
  PRIMARY KEY (ledger, key)
);

COMMENT ON TABLE command_outcome IS 'What each idempotency key was answered. Kept for good: a repetition a year later must not pay twice.';

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% on % is refused: rows are only ever added', TG_OP, TG_TABLE_NAME
    USING ERRCODE = 'integrity_constraint_violation';
END $$;

-- The order itself. A statement-level trigger: one pass over what was inserted, however many rows.
-- VOLATILE, so that each statement in it sees what was committed while it waited for the lock.
CREATE FUNCTION check_outbox_order() RETURNS trigger LANGUAGE plpgsql VOLATILE SECURITY DEFINER
  SET search_path = pg_catalog, public, pg_temp
  SET enable_seqscan = off SET enable_bitmapscan = off
AS $$
DECLARE
  v_added record;
  v_head record;
  v_bad record;
BEGIN
  FOR v_added IN
    SELECT ledger, count(*) AS n, min(position) AS first, max(position) AS last,
           min(recorded_at) AS earliest, max(recorded_at) AS latest, bool_or(revision > 0) AS continues
    FROM added GROUP BY ledger ORDER BY ledger
  LOOP
    SELECT position, recorded_at INTO v_head FROM ledger_head WHERE ledger = v_added.ledger FOR NO KEY UPDATE;
    IF NOT FOUND THEN
      INSERT INTO ledger_head VALUES (v_added.ledger, 0, 'epoch') ON CONFLICT (ledger) DO NOTHING;
      SELECT position, recorded_at INTO v_head FROM ledger_head WHERE ledger = v_added.ledger FOR NO KEY UPDATE;
    END IF;

    IF v_added.first <> v_head.position + 1 OR v_added.n <> v_added.last - v_added.first + 1 THEN
      RAISE EXCEPTION 'positions of ledger % must go on at %, without a gap: got % events from % to %',
        v_added.ledger, v_head.position + 1, v_added.n, v_added.first, v_added.last
        USING ERRCODE = 'integrity_constraint_violation';
    END IF;

    IF v_added.earliest < v_head.recorded_at THEN
      RAISE EXCEPTION 'time of ledger % must not go back: % after %', v_added.ledger, v_added.earliest, v_head.recorded_at
        USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF v_added.earliest < v_added.latest THEN
      SELECT a.position INTO v_bad
      FROM (SELECT position, recorded_at, lag(recorded_at) OVER (ORDER BY position) AS previous
            FROM added WHERE ledger = v_added.ledger) a
      WHERE a.recorded_at < a.previous LIMIT 1;
      IF FOUND THEN
        RAISE EXCEPTION 'time of ledger % must not go back: at position %', v_added.ledger, v_bad.position
          USING ERRCODE = 'integrity_constraint_violation';
      END IF;
    END IF;

    IF v_added.continues THEN
      SELECT a.stream, a.revision INTO v_bad
      FROM added a
      WHERE a.ledger = v_added.ledger AND a.revision > 0
        -- The revision before must be there, and before this one in the ledger's order too.
        AND coalesce((SELECT o.position FROM outbox o
          WHERE o.ledger = a.ledger AND o.stream = a.stream AND o.revision = a.revision - 1), a.position) >= a.position
      LIMIT 1;
      IF FOUND THEN
        RAISE EXCEPTION 'revision % of stream % must come after revision %', v_bad.revision, v_bad.stream, v_bad.revision - 1
          USING ERRCODE = 'integrity_constraint_violation';
      END IF;
    END IF;

    UPDATE ledger_head SET position = v_added.last, recorded_at = v_added.latest WHERE ledger = v_added.ledger;
  END LOOP;
  RETURN NULL;
END $$;

-- The head is what the order is checked against: it must not be moved by hand either.
CREATE FUNCTION check_ledger_head() RETURNS trigger LANGUAGE plpgsql VOLATILE SECURITY DEFINER
  SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
  v_last bigint;
BEGIN
  IF TG_OP = 'INSERT' THEN
    IF NEW.position <> 0 OR NEW.recorded_at <> 'epoch' THEN
      RAISE EXCEPTION 'a ledger begins empty' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
  END IF;
  SELECT position INTO v_last FROM outbox WHERE ledger = NEW.ledger ORDER BY position DESC LIMIT 1;
  IF NEW.position <> coalesce(v_last, 0) THEN
    RAISE EXCEPTION 'the head of ledger % must be its last position %, not %', NEW.ledger, coalesce(v_last, 0), NEW.position
      USING ERRCODE = 'integrity_constraint_violation';
  END IF;
  IF NEW.ledger <> OLD.ledger OR NEW.recorded_at < OLD.recorded_at THEN
    RAISE EXCEPTION 'the head of ledger % must not go back', OLD.ledger USING ERRCODE = 'integrity_constraint_violation';
  END IF;
  RETURN NEW;
END $$;

CREATE TRIGGER outbox_order AFTER INSERT ON outbox
  REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION check_outbox_order();
CREATE TRIGGER outbox_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON outbox
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER command_outcome_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON command_outcome
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER ledger_head_is_last BEFORE INSERT OR UPDATE ON ledger_head
  FOR EACH ROW EXECUTE FUNCTION check_ledger_head();
CREATE TRIGGER ledger_head_stays BEFORE DELETE OR TRUNCATE ON ledger_head
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- ALWAYS: also in sessions with session_replication_role = replica.
ALTER TABLE outbox ENABLE ALWAYS TRIGGER outbox_order;
ALTER TABLE outbox ENABLE ALWAYS TRIGGER outbox_append_only;
ALTER TABLE command_outcome ENABLE ALWAYS TRIGGER command_outcome_append_only;
ALTER TABLE ledger_head ENABLE ALWAYS TRIGGER ledger_head_is_last;
ALTER TABLE ledger_head ENABLE ALWAYS TRIGGER ledger_head_stays;

-- Commits a batch of appends, each accepted or refused on its own, in the order given. One call is one transaction.
--
-- Per append: the stream (a number, the same for the same stream, from 1 without gaps; 0 where it has no events), the
-- revision that it expects (-1: no such stream yet; -2: refuse in any case; null: only the outcome of a rejection is kept),
-- the append of this batch that it builds on (0: none) and falls with, the number of its last event in the batch, the count
-- of its events, and its idempotency key, request hash and outcome (null: none). No key may appear twice.
-- Per event, in the order of the appends: the append it belongs to, and its columns.
--
-- Returns one letter per append - a: appended, r: rejection kept, k: key used before, t: these very events are there
-- already, w: wrong expected revision - and the details of every k, t and w. Appended events have the positions from
-- first_position on.
--
-- Nearly always every append is accepted, so first they are simply inserted: the constraints and the trigger refuse exactly
-- what must be refused (a revision that is taken, one that does not follow, a key that is used). Only then is each looked
-- at. That saves three look-ups for each append. p_careful: leave that out, refusals are expected.
--
-- Every look-up is a scalar subquery on all columns of a unique index: the only sensible plan there is. An EXISTS may become a
-- join that scans a table, planned while the table was small and then cached (seen: 20 times slower at 30,000 rows).
CREATE FUNCTION append_events(
  p_ledger text, p_careful boolean,
  p_stream_of int[], p_expected bigint[], p_after int[], p_last int[], p_counts int[],
  p_keys text[], p_hashes bytea[], p_outcomes json[],
  p_append_of int[], p_streams text[], p_revisions bigint[],
  p_ids uuid[], p_types text[], p_versions int[], p_data jsonb[], p_metadata jsonb[]
) RETURNS TABLE (kinds text, first_position bigint, recorded_at timestamptz, details json)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
  SET search_path = pg_catalog, public, pg_temp
  SET enable_seqscan = off SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  v_head record;
  v_now timestamptz(3);
  v_kinds text;
  v_shift bigint[];  -- position of an append's events = this + number of the event; null where it is not appended
  v_details json;
  v_position bigint;
BEGIN
  SELECT position, recorded_at INTO v_head FROM ledger_head WHERE ledger = p_ledger FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    INSERT INTO ledger_head VALUES (p_ledger, 0, 'epoch') ON CONFLICT (ledger) DO NOTHING;
    SELECT position, recorded_at INTO v_head FROM ledger_head WHERE ledger = p_ledger FOR NO KEY UPDATE;
  END IF;
  -- From here on nobody else appends to this ledger: what is read below stays true until the commit.
  v_now := greatest(date_trunc('milliseconds', clock_timestamp()), v_head.recorded_at);

  IF NOT p_careful THEN
    BEGIN
      INSERT INTO outbox (ledger, position, id, stream, revision, type, schema_version, data, metadata, recorded_at,
                          traceparent)
      SELECT p_ledger, v_head.position + e.i, e.id, e.stream, e.revision, e.type, e.version, e.data, e.metadata, v_now,
             e.metadata ->> 'traceparent'
      FROM unnest(p_ids, p_streams, p_revisions, p_types, p_versions, p_data, p_metadata)
           WITH ORDINALITY AS e(id, stream, revision, type, version, data, metadata, i);
      INSERT INTO command_outcome (ledger, key, request_hash, outcome, position, recorded_at)
      SELECT p_ledger, k.key, k.hash, k.outcome, CASE WHEN k.n > 0 THEN v_head.position + k.last END, v_now
      FROM unnest(p_keys, p_hashes, p_outcomes, p_last, p_counts) AS k(key, hash, outcome, last, n)
      WHERE k.key IS NOT NULL;
      v_position := v_head.position + cardinality(p_ids);
    EXCEPTION WHEN integrity_constraint_violation THEN
      -- All of it is undone, and each append is looked at below.
      v_position := NULL;
    END;
  END IF;

  IF v_position IS NULL THEN
    SELECT j.kinds, j.shift, j.details, j.last_position INTO v_kinds, v_shift, v_details, v_position
    FROM judge_appends(p_ledger, v_head.position, p_stream_of, p_expected, p_after, p_counts, p_keys,
                       p_append_of, p_streams, p_ids) j;
    INSERT INTO outbox (ledger, position, id, stream, revision, type, schema_version, data, metadata, recorded_at,
                        traceparent)
    SELECT p_ledger, v_shift[e.a] + e.i, e.id, e.stream, e.revision, e.type, e.version, e.data, e.metadata, v_now,
           e.metadata ->> 'traceparent'
    FROM unnest(p_append_of, p_ids, p_streams, p_revisions, p_types, p_versions, p_data, p_metadata)
         WITH ORDINALITY AS e(a, id, stream, revision, type, version, data, metadata, i)
    WHERE v_shift[e.a] IS NOT NULL;
    INSERT INTO command_outcome (ledger, key, request_hash, outcome, position, recorded_at)
    SELECT p_ledger, k.key, k.hash, k.outcome, CASE WHEN k.n > 0 THEN v_shift[k.i] + k.last END, v_now
    FROM unnest(p_keys, p_hashes, p_outcomes, p_last, p_counts) WITH ORDINALITY AS k(key, hash, outcome, last, n, i)
    WHERE k.key IS NOT NULL AND substr(v_kinds, k.i::int, 1) IN ('a', 'r');
  END IF;

  IF v_position > v_head.position THEN
    PERFORM pg_notify('tallystick_outbox', p_ledger || ':' || v_position);
  END IF;
  -- Null: every append was accepted.
  RETURN QUERY SELECT v_kinds, v_head.position + 1, v_now, v_details;
END $$;

-- Looks at each append of a batch, in order. Called with the ledger's head locked.
CREATE FUNCTION judge_appends(
  p_ledger text, p_head bigint,
  p_stream_of int[], p_expected bigint[], p_after int[], p_counts int[], p_keys text[],
  p_append_of int[], p_streams text[], p_ids uuid[],
  OUT kinds text, OUT shift bigint[], OUT details json, OUT last_position bigint
) LANGUAGE plpgsql VOLATILE
  SET search_path = pg_catalog, public, pg_temp
  SET enable_seqscan = off SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  v_used int[];           -- appends whose key was used before
  v_revisions bigint[];   -- last revision of each stream, -1: none
  v_kind text;
  v_details json[] := '{}';
  v_event int := 0;       -- events of the appends before this one
  v_stream int;
  v_there record;
BEGIN
  SELECT array_agg(k.n) INTO v_used
  FROM unnest(p_keys) WITH ORDINALITY AS k(key, n)
  WHERE (SELECT true FROM command_outcome c WHERE c.ledger = p_ledger AND c.key = k.key);

  SELECT array_agg(coalesce(
           (SELECT o.revision FROM outbox o WHERE o.ledger = p_ledger AND o.stream = s.stream
            ORDER BY o.revision DESC LIMIT 1), -1) ORDER BY s.n)
  INTO v_revisions
  FROM (SELECT p_stream_of[e.a] AS n, min(e.stream) AS stream
        FROM unnest(p_append_of, p_streams) AS e(a, stream) GROUP BY 1) s;

  kinds := '';
  last_position := p_head;
  shift := array_fill(NULL::bigint, ARRAY[cardinality(p_counts)]);
  FOR i IN 1 .. cardinality(p_counts) LOOP
    v_stream := p_stream_of[i];
    IF v_used IS NOT NULL AND i = ANY (v_used) THEN
      v_kind := 'k';
      SELECT array_append(v_details, json_build_object('n', i, 'requestHash', encode(c.request_hash, 'hex'),
               'outcome', c.outcome, 'position', c.position::text))
      INTO STRICT v_details
      FROM command_outcome c WHERE c.ledger = p_ledger AND c.key = p_keys[i];
    ELSIF p_expected[i] IS NULL THEN
      v_kind := 'r';
    ELSIF p_expected[i] = v_revisions[v_stream] AND (p_after[i] = 0 OR substr(kinds, p_after[i], 1) IN ('a', 't')) THEN
      v_kind := 'a';
      shift[i] := last_position - v_event;
      last_position := last_position + p_counts[i];
      v_revisions[v_stream] := v_revisions[v_stream] + p_counts[i];
    ELSE
      v_kind := 'w';
      -- The acknowledgement of an earlier append may have been lost: the very same events at the very same revisions.
      IF p_expected[i] >= -1 AND p_expected[i] + p_counts[i] <= v_revisions[v_stream] THEN
        SELECT count(*) AS n, max(o.position) AS position, max(o.recorded_at) AS recorded_at INTO v_there
        FROM unnest(p_ids[v_event + 1 : v_event + p_counts[i]]) WITH ORDINALITY AS e(id, nth)
        CROSS JOIN LATERAL (SELECT o.position, o.recorded_at FROM outbox o
          WHERE o.ledger = p_ledger AND o.stream = p_streams[v_event + 1] AND o.revision = p_expected[i] + e.nth AND o.id = e.id
          LIMIT 1) o;
        IF v_there.n = p_counts[i] THEN
          v_kind := 't';
          v_details := array_append(v_details, json_build_object('n', i, 'position', v_there.position::text,
            'recordedAt', (extract(epoch FROM v_there.recorded_at) * 1000)::bigint));
        END IF;
      END IF;
      IF v_kind = 'w' THEN
        v_details := array_append(v_details, json_build_object('n', i, 'actual', v_revisions[v_stream]::text));
      END IF;
    END IF;
    kinds := kinds || v_kind;
    v_event := v_event + p_counts[i];
  END LOOP;
  details := array_to_json(v_details);
END $$;

-- Position of the last event recorded at or before p_time; 0 where there is none.
--
-- Time never goes back within a ledger, so this is a binary search over the primary key. A time at or after the head's
-- could still get an event below it from an append in flight: wait until the clock has passed it, then for that append.
CREATE FUNCTION position_at(p_ledger text, p_time timestamptz) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
  SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
  v_head record;
  v_wait interval;
  v_low bigint := 0;  -- recorded at or before p_time, or nothing
  v_high bigint;      -- recorded after p_time, or not there
  v_middle bigint;
  v_time timestamptz;
BEGIN
  SELECT position, recorded_at INTO v_head FROM ledger_head WHERE ledger = p_ledger;
  IF NOT FOUND THEN
    -- Waits for a first append in flight.
    INSERT INTO ledger_head VALUES (p_ledger, 0, 'epoch') ON CONFLICT (ledger) DO NOTHING;
    SELECT position, recorded_at INTO STRICT v_head FROM ledger_head WHERE ledger = p_ledger;
  END IF;
  IF p_time >= v_head.recorded_at THEN
    -- One millisecond more, because recorded_at is cut to milliseconds.
    v_wait := p_time + interval '1 millisecond' - clock_timestamp();
    IF v_wait > interval '2 seconds' THEN
      RAISE EXCEPTION 'the time % lies in the future', p_time USING ERRCODE = 'datetime_field_overflow';
    ELSIF v_wait > interval '0' THEN
      PERFORM pg_sleep(extract(epoch FROM v_wait));
    END IF;
    SELECT position, recorded_at INTO v_head FROM ledger_head WHERE ledger = p_ledger FOR SHARE;
    IF p_time >= v_head.recorded_at THEN
      RETURN v_head.position;
    END IF;
  END IF;
  v_high := v_head.position + 1;
  WHILE v_high - v_low > 1 LOOP
    v_middle := v_low + (v_high - v_low) / 2;
    SELECT recorded_at INTO STRICT v_time FROM outbox WHERE ledger = p_ledger AND position = v_middle;
    IF v_time <= p_time THEN v_low := v_middle; ELSE v_high := v_middle; END IF;
  END LOOP;
  RETURN v_low;
END $$;

REVOKE ALL ON FUNCTION append_events, judge_appends, position_at, check_outbox_order, check_ledger_head FROM PUBLIC;

-- The application's role: it adds to the log and reads it. Where the server does not let us make roles (a hosted one), the
-- application runs as the owner, and the triggers stand alone.
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'tallystick_app') THEN
    BEGIN
      CREATE ROLE tallystick_app NOLOGIN;
    EXCEPTION
      WHEN duplicate_object OR unique_violation THEN NULL; -- another database of this server is migrated at the same time
      WHEN insufficient_privilege THEN RAISE NOTICE 'no role tallystick_app: this user may not create roles';
    END;
  END IF;
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'tallystick_app') THEN
    BEGIN
      IF NOT pg_has_role(current_user, 'tallystick_app', 'MEMBER') THEN
        EXECUTE format('GRANT tallystick_app TO %I', current_user);
      END IF;
    EXCEPTION
      WHEN insufficient_privilege THEN RAISE NOTICE 'this user may not become tallystick_app';
    END;
    GRANT USAGE ON SCHEMA public TO tallystick_app;
    GRANT SELECT, INSERT ON outbox, command_outcome TO tallystick_app;
    GRANT SELECT ON ledger_head TO tallystick_app;
    GRANT EXECUTE ON FUNCTION append_events, position_at TO tallystick_app;
    -- Read models live in schemas of their own, which the application makes and rebuilds.
    EXECUTE format('GRANT CREATE ON DATABASE %I TO tallystick_app', current_database());
  END IF;
END $$;
