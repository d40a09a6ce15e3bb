-- How far each read model of each ledger is. The read tables themselves are made by the projections, in a schema per ledger
-- (read_<ledger>), because a rebuild makes them anew.
CREATE TABLE projection_checkpoint (
  ledger      text    NOT NULL,
  name        text    NOT NULL,
  version     integer NOT NULL,
  -- Last event that is in the tables.
  position    bigint  NOT NULL CHECK (position >= 0),
  -- Raised by every switch to rebuilt tables: a runner that cached rows of the old ones cannot write any more.
  generation  bigint  NOT NULL DEFAULT 0,
  tip_height  integer,
  tip_hash    text,
  -- { depositConfirmations, coinbaseMaturity } as of the position.
  policy      jsonb,
  state       text    NOT NULL CHECK (state IN ('live', 'rebuilding', 'halted')),
  -- The event that could not be applied, and why.
  halted_at   bigint,
  reason      text,
  PRIMARY KEY (ledger, name),
  CHECK ((state = 'halted') = (halted_at IS NOT NULL))
);

CREATE FUNCTION advance_checkpoints(
  p_ledger text, p_names text[], p_generations bigint[], p_from bigint, p_to bigint,
  p_tip_height integer, p_tip_hash text, p_policy jsonb, p_switch_key bigint
) RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
DECLARE moved bigint;
BEGIN
  -- A rebuild that switches its tables in holds this lock exclusively: give way at once instead of waiting with tables locked.
  IF NOT pg_try_advisory_xact_lock_shared(p_switch_key) THEN
    RAISE EXCEPTION 'read models of ledger % are being switched', p_ledger USING ERRCODE = 'TY002';
  END IF;
  UPDATE projection_checkpoint c
     SET position = p_to, tip_height = p_tip_height, tip_hash = p_tip_hash, policy = p_policy, state = 'live',
         halted_at = NULL, reason = NULL
    FROM unnest(p_names, p_generations) AS mine(name, generation)
   WHERE c.ledger = p_ledger AND c.name = mine.name AND c.generation = mine.generation AND c.position = p_from;
  GET DIAGNOSTICS moved = ROW_COUNT;
  IF moved <> cardinality(p_names) THEN
    RAISE EXCEPTION 'checkpoint of ledger % is not at %: somebody else moved it', p_ledger, p_from USING ERRCODE = 'TY001';
  END IF;
  RETURN p_to;
END $$;

DO $$
BEGIN
  IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'tallystick_app') THEN
    GRANT SELECT, INSERT, UPDATE, DELETE ON projection_checkpoint TO tallystick_app;
  END IF;
END $$;
