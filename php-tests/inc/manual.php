<?php

/** The blocks of a language in a page of the manual, in their order. */
function snippets(string $page, string $language): array
{
    preg_match_all("/^```$language\n(.*?)^```$/ms", file_get_contents(dirname(__DIR__, 2) . "/docs/$page"), $match);
    return $match[1];
}

/** The only block of them that says this. */
function snippet(string $page, string $language, string $saying): string
{
    $found = array_values(array_filter(snippets($page, $language), fn ($block) => str_contains($block, $saying)));
    return count($found) === 1 ? $found[0] : throw new Exception(count($found) . " blocks of $page say $saying");
}
