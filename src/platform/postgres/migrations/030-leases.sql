-- Who works for a ledger in a role, for how long, and since which takeover.
-- All by the clock of the database: the holders' own clocks may be hours apart.

CREATE TABLE lease (
  ledger text COLLATE "C" NOT NULL CHECK (ledger ~ '^[a-z0-9][a-z0-9-]{0,39}$'),
  role text COLLATE "C" NOT NULL CHECK (octet_length(role) BETWEEN 1 AND 40),
  holder uuid NOT NULL,
  -- The fencing token: it grows with each takeover, and what was done under a lower one can be refused.
  epoch bigint NOT NULL CHECK (epoch >= 1),
  expires_at timestamptz NOT NULL,
  PRIMARY KEY (ledger, role)
) WITH (fillfactor = 20); -- some rows, each updated every second: room for their versions on the page (HOT)

COMMENT ON TABLE lease IS 'One holder per ledger and role. A row stays when it is released: its epoch must never be given again.';

-- Takes the lease where it is free, has expired or is the holder's own, for so long from now on; renews it where it is the
-- holder's own. Whoever takes it from another, or after it expired, gets a new epoch: in between it may have been another's.
-- Answers its state in any case, so that one who waits knows for how long.
CREATE FUNCTION acquire_lease(p_ledger text, p_role text, p_holder uuid, p_ttl_ms integer)
RETURNS TABLE (held boolean, epoch bigint, expires_in_ms integer)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
  SET search_path = pg_catalog, public, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  v_lease lease;
BEGIN
  IF p_ttl_ms NOT BETWEEN 100 AND 600000 THEN
    RAISE EXCEPTION 'a lease is for 100 ms to 10 minutes, not % ms', p_ttl_ms USING ERRCODE = 'invalid_parameter_value';
  END IF;
  INSERT INTO lease AS l VALUES (p_ledger, p_role, p_holder, 1, clock_timestamp() + p_ttl_ms * interval '1 millisecond')
  ON CONFLICT (ledger, role) DO UPDATE SET
    holder = EXCLUDED.holder,
    epoch = l.epoch + CASE WHEN l.holder = EXCLUDED.holder AND l.expires_at > clock_timestamp() THEN 0 ELSE 1 END,
    -- Not EXCLUDED's: waiting for the row's lock takes time that is the holder's.
    expires_at = clock_timestamp() + p_ttl_ms * interval '1 millisecond'
  WHERE l.holder = EXCLUDED.holder OR l.expires_at <= clock_timestamp()
  RETURNING * INTO v_lease;
  IF NOT FOUND THEN
    SELECT * INTO STRICT v_lease FROM lease l WHERE l.ledger = p_ledger AND l.role = p_role;
  END IF;
  RETURN QUERY SELECT v_lease.holder = p_holder, v_lease.epoch,
    greatest(0, (extract(epoch FROM v_lease.expires_at - clock_timestamp()) * 1000)::integer);
END $$;

-- Gives the lease back: it can be taken at once. Nothing where it has been taken over.
CREATE FUNCTION release_lease(p_ledger text, p_role text, p_holder uuid, p_epoch bigint) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
  SET search_path = pg_catalog, public, pg_temp
AS $$
  UPDATE lease SET expires_at = clock_timestamp()
  WHERE ledger = p_ledger AND role = p_role AND holder = p_holder AND epoch = p_epoch
$$;

REVOKE ALL ON FUNCTION acquire_lease, release_lease FROM PUBLIC;

DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'tallystick_app') THEN
    GRANT SELECT ON lease TO tallystick_app;
    GRANT EXECUTE ON FUNCTION acquire_lease, release_lease TO tallystick_app;
  END IF;
END $$;
