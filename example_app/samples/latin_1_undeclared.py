GREETING = "Grья Gott"
