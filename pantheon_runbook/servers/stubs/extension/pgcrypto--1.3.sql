-- The names of pgcrypto. Randomness and the digests of the core are real; whoever calls another is told that it is a
-- stub, so that nothing is ever stored as if it were encrypted.

CREATE FUNCTION gen_random_uuid() RETURNS uuid VOLATILE PARALLEL SAFE LANGUAGE sql
    AS $$ SELECT gen_random_uuid() $$;
CREATE FUNCTION gen_random_bytes(integer) RETURNS bytea VOLATILE STRICT PARALLEL SAFE LANGUAGE sql AS $$
    SELECT substr(string_agg(sha256(
        uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), ''), 1, $1)
    FROM generate_series(0, $1 / 32)
$$;
CREATE FUNCTION digest(bytea, text) RETURNS bytea IMMUTABLE STRICT PARALLEL SAFE LANGUAGE plpgsql AS $$ BEGIN
    CASE lower($2)
        WHEN 'md5' THEN RETURN decode(md5($1), 'hex');
        WHEN 'sha224' THEN RETURN sha224($1);
        WHEN 'sha256' THEN RETURN sha256($1);
        WHEN 'sha384' THEN RETURN sha384($1);
        WHEN 'sha512' THEN RETURN sha512($1);
        ELSE RAISE 'digest of "%" cannot be made: pgcrypto is a stub here', $2
            USING ERRCODE = 'feature_not_supported';
    END CASE;
END $$;
CREATE FUNCTION digest(text, text) RETURNS bytea IMMUTABLE STRICT PARALLEL SAFE LANGUAGE sql
    RETURN digest(convert_to($1, getdatabaseencoding()), $2);
CREATE FUNCTION hmac(bytea, bytea, text) RETURNS bytea IMMUTABLE STRICT PARALLEL SAFE LANGUAGE plpgsql AS $$ BEGIN
    RAISE 'hmac cannot be called: pgcrypto is a stub here' USING ERRCODE = 'feature_not_supported';
END $$;
CREATE FUNCTION hmac(text, text, text) RETURNS bytea IMMUTABLE STRICT PARALLEL SAFE LANGUAGE plpgsql AS $$ BEGIN
    RAISE 'hmac cannot be called: pgcrypto is a stub here' USING ERRCODE = 'feature_not_supported';
END $$;
CREATE FUNCTION crypt(text, text) RETURNS text IMMUTABLE STRICT PARALLEL SAFE LANGUAGE plpgsql AS $$ BEGIN
    RAISE 'crypt cannot be called: pgcrypto is a stub here' USING ERRCODE = 'feature_not_supported';
END $$;
CREATE FUNCTION gen_salt(text) RETURNS text VOLATILE STRICT PARALLEL SAFE LANGUAGE plpgsql AS $$ BEGIN
    RAISE 'gen_salt cannot be called: pgcrypto is a stub here' USING ERRCODE = 'feature_not_supported';
END $$;
CREATE FUNCTION gen_salt(text, integer) RETURNS text VOLATILE STRICT PARALLEL SAFE LANGUAGE plpgsql AS $$ BEGIN
    RAISE 'gen_salt cannot be called: pgcrypto is a stub here' USING ERRCODE = 'feature_not_supported';
END $$;
CREATE FUNCTION encrypt(bytea, bytea, text) RETURNS bytea IMMUTABLE STRICT PARALLEL SAFE LANGUAGE plpgsql AS $$ BEGIN
    RAISE 'encrypt cannot be called: pgcrypto is a stub here' USING ERRCODE = 'feature_not_supported';
END $$;
CREATE FUNCTION decrypt(bytea, bytea, text) RETURNS bytea IMMUTABLE STRICT PARALLEL SAFE LANGUAGE plpgsql AS $$ BEGIN
    RAISE 'decrypt cannot be called: pgcrypto is a stub here' USING ERRCODE = 'feature_not_supported';
END $$;
CREATE FUNCTION encrypt_iv(bytea, bytea, bytea, text) RETURNS bytea IMMUTABLE STRICT PARALLEL SAFE LANGUAGE plpgsql AS $$ BEGIN
    RAISE 'encrypt_iv cannot be called: pgcrypto is a stub here' USING ERRCODE = 'feature_not_supported';
END $$;
CREATE FUNCTION decrypt_iv(bytea, bytea, bytea, text) RETURNS bytea IMMUTABLE STRICT PARALLEL SAFE LANGUAGE plpgsql AS $$ BEGIN
    RAISE 'decrypt_iv cannot be called: pgcrypto is a stub here' USING ERRCODE = 'feature_not_supported';
END $$;
CREATE FUNCTION pgp_sym_encrypt(text, text) RETURNS bytea VOLATILE STRICT PARALLEL SAFE LANGUAGE plpgsql AS $$ BEGIN
    RAISE 'pgp_sym_encrypt cannot be called: pgcrypto is a stub here' USING ERRCODE = 'feature_not_supported';
END $$;
CREATE FUNCTION pgp_sym_encrypt_bytea(bytea, text) RETURNS bytea VOLATILE STRICT PARALLEL SAFE LANGUAGE plpgsql AS $$ BEGIN
    RAISE 'pgp_sym_encrypt_bytea cannot be called: pgcrypto is a stub here' USING ERRCODE = 'feature_not_supported';
END $$;
CREATE FUNCTION pgp_sym_encrypt(text, text, text) RETURNS bytea VOLATILE STRICT PARALLEL SAFE LANGUAGE plpgsql AS $$ BEGIN
    RAISE 'pgp_sym_encrypt cannot be called: pgcrypto is a stub here' USING ERRCODE = 'feature_not_supported';
END $$;
CREATE FUNCTION pgp_sym_encrypt_bytea(bytea, text, text) RETURNS bytea VOLATILE STRICT PARALLEL SAFE LANGUAGE plpgsql AS $$ BEGIN
    RAISE 'pgp_sym_encrypt_bytea cannot be called: pgcrypto is a stub here' USING ERRCODE = 'feature_not_supported';
END $$;
CREATE FUNCTION pgp_sym_decrypt(bytea, text) RETURNS text IMMUTABLE STRICT PARALLEL SAFE LANGUAGE plpgsql AS $$ BEGIN
    RAISE 'pgp_sym_decrypt cannot be called: pgcrypto is a stub here' USING ERRCODE = 'feature_not_supported';
END $$;
CREATE FUNCTION pgp_sym_decrypt_bytea(bytea, text) RETURNS bytea IMMUTABLE STRICT PARALLEL SAFE LANGUAGE plpgsql AS $$ BEGIN
    RAISE 'pgp_sym_decrypt_bytea cannot be called: pgcrypto is a stub here' USING ERRCODE = 'feature_not_supported';
END $$;
CREATE FUNCTION pgp_sym_decrypt(bytea, text, text) RETURNS text IMMUTABLE STRICT PARALLEL SAFE LANGUAGE plpgsql AS $$ BEGIN
    RAISE 'pgp_sym_decrypt cannot be called: pgcrypto is a stub here' USING ERRCODE = 'feature_not_supported';
END $$;
CREATE FUNCTION pgp_sym_decrypt_bytea(bytea, text, text) RETURNS bytea IMMUTABLE STRICT PARALLEL SAFE LANGUAGE plpgsql AS $$ BEGIN
    RAISE 'pgp_sym_decrypt_bytea cannot be called: pgcrypto is a stub here' USING ERRCODE = 'feature_not_supported';
END $$;
CREATE FUNCTION pgp_pub_encrypt(text, bytea) RETURNS bytea VOLATILE STRICT PARALLEL SAFE LANGUAGE plpgsql AS $$ BEGIN
    RAISE 'pgp_pub_encrypt cannot be called: pgcrypto is a stub here' USING ERRCODE = 'feature_not_supported';
END $$;
CREATE FUNCTION pgp_pub_encrypt_bytea(bytea, bytea) RETURNS bytea VOLATILE STRICT PARALLEL SAFE LANGUAGE plpgsql AS $$ BEGIN
    RAISE 'pgp_pub_encrypt_bytea cannot be called: pgcrypto is a stub here' USING ERRCODE = 'feature_not_supported';
END $$;
CREATE FUNCTION pgp_pub_encrypt(text, bytea, text) RETURNS bytea VOLATILE STRICT PARALLEL SAFE LANGUAGE plpgsql AS $$ BEGIN
    RAISE 'pgp_pub_encrypt cannot be called: pgcrypto is a stub here' USING ERRCODE = 'feature_not_supported';
END $$;
CREATE FUNCTION pgp_pub_encrypt_bytea(bytea, bytea, text) RETURNS bytea VOLATILE STRICT PARALLEL SAFE LANGUAGE plpgsql AS $$ BEGIN
    RAISE 'pgp_pub_encrypt_bytea cannot be called: pgcrypto is a stub here' USING ERRCODE = 'feature_not_supported';
END $$;
CREATE FUNCTION pgp_pub_decrypt(bytea, bytea) RETURNS text IMMUTABLE STRICT PARALLEL SAFE LANGUAGE plpgsql AS $$ BEGIN
    RAISE 'pgp_pub_decrypt cannot be called: pgcrypto is a stub here' USING ERRCODE = 'feature_not_supported';
END $$;
CREATE FUNCTION pgp_pub_decrypt_bytea(bytea, bytea) RETURNS bytea IMMUTABLE STRICT PARALLEL SAFE LANGUAGE plpgsql AS $$ BEGIN
    RAISE 'pgp_pub_decrypt_bytea cannot be called: pgcrypto is a stub here' USING ERRCODE = 'feature_not_supported';
END $$;
CREATE FUNCTION pgp_pub_decrypt(bytea, bytea, text) RETURNS text IMMUTABLE STRICT PARALLEL SAFE LANGUAGE plpgsql AS $$ BEGIN
    RAISE 'pgp_pub_decrypt cannot be called: pgcrypto is a stub here' USING ERRCODE = 'feature_not_supported';
END $$;
CREATE FUNCTION pgp_pub_decrypt_bytea(bytea, bytea, text) RETURNS bytea IMMUTABLE STRICT PARALLEL SAFE LANGUAGE plpgsql AS $$ BEGIN
    RAISE 'pgp_pub_decrypt_bytea cannot be called: pgcrypto is a stub here' USING ERRCODE = 'feature_not_supported';
END $$;
CREATE FUNCTION pgp_pub_decrypt(bytea, bytea, text, text) RETURNS text IMMUTABLE STRICT PARALLEL SAFE LANGUAGE plpgsql AS $$ BEGIN
    RAISE 'pgp_pub_decrypt cannot be called: pgcrypto is a stub here' USING ERRCODE = 'feature_not_supported';
END $$;
CREATE FUNCTION pgp_pub_decrypt_bytea(bytea, bytea, text, text) RETURNS bytea IMMUTABLE STRICT PARALLEL SAFE LANGUAGE plpgsql AS $$ BEGIN
    RAISE 'pgp_pub_decrypt_bytea cannot be called: pgcrypto is a stub here' USING ERRCODE = 'feature_not_supported';
END $$;
CREATE FUNCTION pgp_key_id(bytea) RETURNS text IMMUTABLE STRICT PARALLEL SAFE LANGUAGE plpgsql AS $$ BEGIN
    RAISE 'pgp_key_id cannot be called: pgcrypto is a stub here' USING ERRCODE = 'feature_not_supported';
END $$;
CREATE FUNCTION armor(bytea) RETURNS text IMMUTABLE STRICT PARALLEL SAFE LANGUAGE plpgsql AS $$ BEGIN
    RAISE 'armor cannot be called: pgcrypto is a stub here' USING ERRCODE = 'feature_not_supported';
END $$;
CREATE FUNCTION armor(bytea, text[], text[]) RETURNS text IMMUTABLE STRICT PARALLEL SAFE LANGUAGE plpgsql AS $$ BEGIN
    RAISE 'armor cannot be called: pgcrypto is a stub here' USING ERRCODE = 'feature_not_supported';
END $$;
CREATE FUNCTION dearmor(text) RETURNS bytea IMMUTABLE STRICT PARALLEL SAFE LANGUAGE plpgsql AS $$ BEGIN
    RAISE 'dearmor cannot be called: pgcrypto is a stub here' USING ERRCODE = 'feature_not_supported';
END $$;
CREATE FUNCTION pgp_armor_headers(text, OUT key text, OUT value text) RETURNS SETOF record IMMUTABLE STRICT PARALLEL SAFE LANGUAGE plpgsql AS $$ BEGIN
    RAISE 'pgp_armor_headers cannot be called: pgcrypto is a stub here' USING ERRCODE = 'feature_not_supported';
END $$;
