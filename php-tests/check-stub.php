<?php

/*
 * Checks that realtime.stub.php declares exactly what the extension declares:
 *
 *     php -d extension=target/release/librealtime.so php-tests/check-stub.php
 *
 * The stub is loaded under a namespace of its own, so that both can be reflected on side by side. Prints each difference
 * and exits with 1 when there is one.
 */

const SPACE = 'Stub';

/** Declares what the stub declares, in a namespace of its own that imports the engine's classes. */
function load_stub(string $file): void
{
    $header = 'namespace ' . SPACE . '; use Exception; use Throwable;';
    eval($header . substr(file_get_contents($file), strlen('<?php')));
}

function plain(string $text): string
{
    return str_replace([SPACE . '\\', '\\'], '', $text);
}

function describe_type(?ReflectionType $type): string
{
    if ($type instanceof ReflectionUnionType) {
        $names = array_map(strval(...), $type->getTypes());
        sort($names);
        return implode('|', $names);
    }
    return plain((string) $type);
}

function describe_parameter(ReflectionParameter $parameter): string
{
    $attributes = array_map(fn ($attribute) => plain("#[{$attribute->getName()}] "), $parameter->getAttributes());
    $default = $parameter->isOptional() ? ' = ' . var_export($parameter->getDefaultValue(), true) : '';
    return implode($attributes) . describe_type($parameter->getType()) . " \${$parameter->getName()}$default";
}

/** @return list<string> */
function describe_class(ReflectionClass $class): array
{
    $kind = $class->isInterface() ? 'interface' : ($class->isFinal() ? 'final class' : 'class');
    $parent = $class->getParentClass() ? ' extends ' . plain($class->getParentClass()->getName()) : '';
    $interfaces = array_map(plain(...), $class->getInterfaceNames());
    sort($interfaces);
    $lines = [$kind . $parent . ' implements ' . implode(', ', $interfaces)];
    $own = fn ($member) => $member->getDeclaringClass()->getName() === $class->getName();
    foreach (array_filter($class->getProperties(), $own) as $property) {
        $modifiers = implode(' ', Reflection::getModifierNames($property->getModifiers()));
        $lines[] = "$modifiers " . describe_type($property->getType()) . " \${$property->getName()}";
    }
    foreach (array_filter($class->getMethods(), $own) as $method) {
        $parameters = implode(', ', array_map(describe_parameter(...), $method->getParameters()));
        $modifiers = implode(' ', Reflection::getModifierNames($method->getModifiers()));
        $lines[] = "$modifiers {$method->getName()}($parameters): " . describe_type($method->getReturnType());
    }
    foreach ($class->getReflectionConstants() as $constant) {
        $lines[] = "const {$constant->getName()} = " . var_export($constant->getValue(), true);
    }
    sort($lines);
    return $lines;
}

load_stub(__DIR__ . '/../realtime.stub.php');
$declared = [];
foreach ([...get_declared_classes(), ...get_declared_interfaces()] as $name) {
    if (str_starts_with($name, SPACE . '\\')) {
        $declared[plain($name)] = describe_class(new ReflectionClass($name));
    }
}
$extension = new ReflectionExtension('realtime');
$real = array_map(describe_class(...), $extension->getClasses());
$differences = [];
foreach (array_unique([...array_keys($declared), ...array_keys($real)]) as $name) {
    foreach (array_diff($declared[$name] ?? [], $real[$name] ?? []) as $line) {
        $differences[] = "- $name: $line";
    }
    foreach (array_diff($real[$name] ?? [], $declared[$name] ?? []) as $line) {
        $differences[] = "+ $name: $line";
    }
}
foreach ($extension->getFunctions() as $function) {
    $differences[] = "+ function {$function->getName()}()";
}
if ($differences) {
    echo "realtime.stub.php (-) and the extension (+) differ:\n", implode("\n", $differences), "\n";
    exit(1);
}
echo 'realtime.stub.php agrees with the extension: ', count($real), " classes\n";
