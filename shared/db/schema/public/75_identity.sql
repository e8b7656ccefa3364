-- The one way in which a tenant's run makes a creator's identity, which is all brands' together.

-- replace function ensure_creator_identity
CREATE OR REPLACE FUNCTION ensure_creator_identity(address text, full_name text, phone_number text) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
-- The identity of an address, made when there is none. What is there keeps everything but a status `pending`. The lock
-- lets two brands that approve one person at once find the same row: the table's own key tells capitals apart.
DECLARE
    wanted constant text := lower(btrim(address));
    found_id uuid;
BEGIN
    IF wanted IS NULL OR wanted !~ '^[^@\s]+@[^@\s]+$' THEN
        RAISE EXCEPTION 'no address' USING ERRCODE = '22023';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('identity:' || wanted, 0));
    SELECT id INTO found_id FROM public.creators WHERE lower(email) = wanted ORDER BY created_at, id LIMIT 1;
    IF found_id IS NULL THEN
        INSERT INTO public.creators (email, name, phone, status)
        VALUES (wanted, full_name, phone_number, 'active') RETURNING id INTO found_id;
    ELSE
        UPDATE public.creators SET status = 'active' WHERE id = found_id AND status = 'pending';
    END IF;
    RETURN found_id;
END $$;

-- always let the tenants' roles, and nobody else, make identities
REVOKE ALL ON FUNCTION public.ensure_creator_identity(text, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.ensure_creator_identity(text, text, text) TO cgk_tenants;
