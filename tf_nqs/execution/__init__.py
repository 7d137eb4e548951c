"""How functions of walkers are compiled and cut into chunks, and how much memory they take."""
